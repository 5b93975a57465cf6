# Every option is planned, with a provider that stands in for AWS: `terraform test -var functions_dir=…`. Nothing is asked.
mock_provider "aws" {
  override_during = plan

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }
  mock_data "aws_region" {
    defaults = { id = "us-east-1", name = "us-east-1" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:us-east-1:111122223333:key/1" }
  }
  mock_resource "aws_s3_bucket" {
    defaults = { arn = "arn:aws:s3:::archive", id = "archive" }
  }
  mock_resource "aws_sqs_queue" {
    defaults = { arn = "arn:aws:sqs:us-east-1:111122223333:queue", url = "https://sqs.us-east-1.amazonaws.com/111122223333/queue" }
  }
  mock_resource "aws_dynamodb_table" {
    defaults = { arn = "arn:aws:dynamodb:us-east-1:111122223333:table/limits" }
  }
  mock_resource "aws_cloudwatch_log_group" {
    defaults = { arn = "arn:aws:logs:us-east-1:111122223333:log-group:log" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/role" }
  }
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:us-east-1:111122223333:alarms" }
  }
  mock_resource "aws_lambda_function" {
    defaults = { arn = "arn:aws:lambda:us-east-1:111122223333:function:f", invoke_arn = "arn:aws:apigateway:us-east-1:lambda:path/f" }
  }
  mock_resource "aws_lambda_invocation" {
    defaults = { result = "{\"from\": 0, \"to\": 12}" }
  }
  mock_resource "aws_secretsmanager_secret_version" {
    defaults = { arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:functions" }
  }
  mock_resource "aws_vpc" {
    defaults = { ipv6_cidr_block = "2600:1f18::/56" }
  }
  mock_resource "aws_rds_cluster" {
    defaults = {
      endpoint           = "cluster.example"
      master_user_secret = [{ secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:rds", secret_status = "active", kms_key_id = "k" }]
    }
  }
}

variables {
  database_secret_arn    = "arn:aws:secretsmanager:us-east-1:111122223333:secret:database"
  auth_tokens_secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:tokens"
  pubmed_email           = "a@example.org"
  alarm_email            = "a@example.org"
}

run "smallest" {
  command = plan

  assert {
    condition     = length(module.network) == 0 && length(module.aurora) == 0
    error_message = "By default there is neither a network nor a database."
  }
  assert {
    condition     = !contains(keys(local.environment_of.api), "BIO_MCP_ALLOW_ANONYMOUS")
    error_message = "Nobody is let in without a token."
  }
  assert {
    condition     = sort(keys(module.functions)) == tolist(["api", "scheduler", "worker"]) && output.schema.to == 12
    error_message = "There are four functions, and the schema is made first."
  }
  assert {
    condition     = local.environment.BIO_MCP_DATABASE_URL == null && local.environment.AWS_USE_DUALSTACK_ENDPOINT == null
    error_message = "What is not set is not told."
  }
}

run "aurora_over_ipv6" {
  command = plan
  variables {
    database            = "aurora"
    database_secret_arn = null
    database_ca_pem     = "-----BEGIN CERTIFICATE-----"
    network             = "ipv6"
  }

  assert {
    condition     = local.environment.BIO_MCP_DATABASE_URL == "postgres://cluster.example/biomcp"
    error_message = "The functions are told of the cluster."
  }
  assert {
    condition     = endswith(local.environment.BIO_MCP_DATABASE_URL_SECRET_ARN, ":secret:rds")
    error_message = "The functions read the cluster's own secret."
  }
  assert {
    condition     = local.environment.AWS_USE_DUALSTACK_ENDPOINT == "true" && module.network[0].of_functions.ipv6
    error_message = "Everything is reached over IPv6."
  }
}

run "an_owner_beside_the_functions_own_role" {
  command = plan
  variables {
    database_owner_secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:owner"
  }

  assert {
    condition     = endswith(local.environment_of.migrate.BIO_MCP_DATABASE_URL_SECRET_ARN, ":secret:owner") && endswith(local.environment_of.migrate.BIO_MCP_DATABASE_ROLE_SECRET_ARN, ":secret:database")
    error_message = "migrate logs in as the owner and makes the role."
  }
  assert {
    condition     = endswith(local.environment.BIO_MCP_DATABASE_URL_SECRET_ARN, ":secret:database")
    error_message = "The others log in as the role."
  }
}

run "a_vpc_with_nat" {
  command = plan
  variables {
    network = "nat"
  }

  assert {
    condition     = length(module.network) == 1 && length(module.aurora) == 0 && !module.network[0].of_functions.ipv6
    error_message = "A network, but no database."
  }
}

run "an_issuer_at_the_gateway" {
  command = plan
  variables {
    auth_tokens_secret_arn = null
    oidc                   = { issuer = "https://login.example.org/", audience = "bio-mcp", roles = ["submit:scope=bio-mcp.submit"], jwt_authorizer = true }
  }

  assert {
    condition     = local.environment_of.api.BIO_MCP_OIDC_ISSUER == "https://login.example.org/"
    error_message = "The function checks tokens too."
  }
}

run "all_the_rest" {
  command = plan
  variables {
    secrets_key_arn           = "arn:aws:kms:us-east-1:111122223333:key/2"
    pubmed_api_key_secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:ncbi"
    sync_topics               = [{ query_key = "asthma", query = "asthma[mesh]" }]
    otlp_endpoint             = "https://collector.example.org:4318"
    cold_tier                 = true
    monthly_budget_usd        = 0
    architecture              = "x86_64"
    environment               = { BIO_MCP_LOG_LEVEL = "debug" }
  }

  assert {
    condition     = jsondecode(local.environment.BIO_MCP_SYNC_TOPICS)[0].query_key == "asthma" && local.environment.BIO_MCP_LOG_LEVEL == "debug"
    error_message = "Topics and further settings reach the functions."
  }
}

run "aurora_needs_a_network" {
  command = plan
  variables {
    database            = "aurora"
    database_secret_arn = null
    database_ca_pem     = "-----BEGIN CERTIFICATE-----"
  }
  expect_failures = [var.database]
}

run "aurora_needs_a_certificate" {
  command = plan
  variables {
    database            = "aurora"
    database_secret_arn = null
    network             = "nat"
  }
  expect_failures = [var.database_ca_pem]
}

run "some_database" {
  command = plan
  variables {
    database_secret_arn = null
  }
  expect_failures = [var.database_secret_arn]
}

run "somebody_is_let_in_and_not_everybody" {
  command = plan
  variables {
    auth_tokens_secret_arn = null
  }
  expect_failures = [var.auth_tokens_secret_arn]
}

run "not_a_whole_bundle" {
  command = plan
  variables {
    database_ca_pem = format("%3000s", "x")
  }
  expect_failures = [var.database_ca_pem]
}

run "what_was_given_up_is_kept" {
  command = plan
  module {
    source = "./modules/queue"
  }
  variables {
    name        = "jobs"
    kms_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
    numbers     = { visibility_secs = 5400, retention_secs = 1209600, max_receives = 5 }
    tags        = {}
  }

  assert {
    condition     = jsondecode(aws_sqs_queue.jobs.redrive_policy).maxReceiveCount == 5
    error_message = "A message is dead after as many receives as the stack says."
  }
}

run "a_role_may_do_what_it_is_given" {
  command = plan
  module {
    source = "./modules/function"
  }
  variables {
    name          = "worker"
    numbers       = { timeout_secs = 900, memory_mb = 512, storage_mb = 512, concurrency = 2 }
    package       = "./modules/function/main.tf"
    architecture  = "arm64"
    partition     = "aws"
    region        = "us-east-1"
    environment   = { SET = "1", NOT_SET = null }
    secret_arns   = ["arn:aws:secretsmanager:us-east-1:111122223333:secret:database", null]
    permissions   = { "arn:aws:s3:::archive/*" = ["s3:GetObject"] }
    kms_key_arn   = "arn:aws:kms:us-east-1:111122223333:key/1"
    log_retention = 365
    tags          = {}
  }

  assert {
    condition = sort(flatten(jsondecode(aws_iam_role_policy.this.policy).Statement[*].Action)) == tolist([
      "logs:CreateLogStream", "logs:PutLogEvents", "s3:GetObject", "secretsmanager:GetSecretValue",
    ])
    error_message = "A role may do what it is given, write its log, and nothing else."
  }
  assert {
    condition     = aws_lambda_function.this.environment[0].variables == tomap({ SET = "1" })
    error_message = "What is not set is not told."
  }
}

run "alarms_watch_what_is_there" {
  command = plan
  module {
    source = "./modules/watch"
  }
  variables {
    name  = "bio-mcp"
    email = "a@example.org"
    alarms = {
      dead-letters = {
        description = "A message was moved to the dead-letter queue", namespace = "AWS/SQS", metric = "m", statistic = "Maximum"
        dimensions  = { QueueName = "dead_letters" }, period = 300, periods = 1, threshold = 0
        comparison  = "GreaterThanThreshold", missing = "notBreaching"
      }
      worker-errors = {
        description = "Invocations fail", namespace = "AWS/Lambda", metric = "Errors", statistic = "Sum"
        dimensions  = { FunctionName = "worker_function" }, period = 300, periods = 1, threshold = 3
        comparison  = "GreaterThanThreshold", missing = "notBreaching"
      }
    }
    functions   = { worker = "bio-mcp-worker" }
    budget_usd  = 0
    kms_key_arn = "arn:aws:kms:us-east-1:111122223333:key/1"
    region      = "us-east-1"
    api_id      = "api1"
    queue       = "jobs"
    dead_queue  = "jobs-dead"
    dashboard   = "../deploy/dashboard.json"
    tags        = {}
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.this["dead-letters"].dimensions == tomap({ QueueName = "jobs-dead" })
    error_message = "The alarm watches the queue that there is."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.this["worker-errors"].dimensions == tomap({ FunctionName = "bio-mcp-worker" })
    error_message = "The alarm watches the function that there is."
  }
  assert {
    condition     = length(jsondecode(aws_cloudwatch_dashboard.this.dashboard_body).widgets) == 9 && !strcontains(aws_cloudwatch_dashboard.this.dashboard_body, "$${")
    error_message = "The dashboard has no name left open."
  }
}
