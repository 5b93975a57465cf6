# Storage, functions, access and monitoring: one module each. Numbers, permissions and alarms come from
# deploy/stack.json.

locals {
  stack = jsondecode(file("${path.module}/../deploy/stack.json"))

  account   = data.aws_caller_identity.this.account_id
  region    = data.aws_region.this.id
  partition = data.aws_partition.this.partition

  in_vpc    = var.network != "none"
  in_aurora = var.database == "aurora"
  has_owner = local.in_aurora || var.database_owner_secret_arn != null

  secrets = {
    # The owner of the tables, which only migrate logs in as, and the role of the other functions.
    master     = local.in_aurora ? module.aurora[0].secret_arn : var.database_owner_secret_arn
    database   = local.in_aurora ? module.aurora[0].functions_secret_arn : var.database_secret_arn
    tokens     = var.auth_tokens_secret_arn
    pubmed_key = var.pubmed_api_key_secret_arn
    settings   = var.settings_secret_arn
  }

  resources = {
    bucket    = module.archive.arn
    objects   = "${module.archive.arn}/*"
    manifests = "${module.archive.arn}/*/manifests/*"
    key       = aws_kms_key.this.arn
    jobs      = module.queue.arn
    limits    = aws_dynamodb_table.limits.arn
  }

  environment = merge(local.stack.environment, {
    BIO_MCP_DATABASE_URL_SECRET_ARN   = local.secrets.database
    BIO_MCP_DATABASE_URL              = local.in_aurora ? module.aurora[0].url : var.database_url
    BIO_MCP_DATABASE_CA_PEM           = var.database_ca_pem
    BIO_MCP_ARCHIVE_BUCKET            = module.archive.name
    BIO_MCP_ARCHIVE_KMS_KEY_ID        = aws_kms_key.this.arn
    BIO_MCP_JOBS_QUEUE_URL            = module.queue.url
    BIO_MCP_LIMITS_TABLE              = aws_dynamodb_table.limits.name
    BIO_MCP_PUBMED_EMAIL              = var.pubmed_email
    BIO_MCP_PUBMED_API_KEY_SECRET_ARN = var.pubmed_api_key_secret_arn
    BIO_MCP_SYNC_TOPICS               = jsonencode(var.sync_topics)
    BIO_MCP_SETTINGS                  = var.settings
    BIO_MCP_SETTINGS_SECRET_ARN       = var.settings_secret_arn
    OTEL_EXPORTER_OTLP_ENDPOINT       = var.otlp_endpoint
    # AWS's APIs are called over IPv6 if there is no other route.
    AWS_USE_DUALSTACK_ENDPOINT = var.network == "ipv6" ? "true" : null
  }, var.environment)

  environment_of = {
    migrate = {
      BIO_MCP_DATABASE_URL_SECRET_ARN  = local.has_owner ? local.secrets.master : local.secrets.database
      BIO_MCP_DATABASE_ROLE_SECRET_ARN = local.has_owner ? local.secrets.database : null
    }
    api = {
      BIO_MCP_AUTH_TOKENS_SECRET_ARN = var.auth_tokens_secret_arn
      BIO_MCP_OIDC_ISSUER            = try(var.oidc.issuer, null)
      BIO_MCP_OIDC_AUDIENCE          = try(var.oidc.audience, null)
      BIO_MCP_OIDC_CLIENT_IDS        = try(var.oidc.client_id, null)
      BIO_MCP_OIDC_ROLES             = try(join(",", var.oidc.roles), null)
    }
  }
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}
data "aws_partition" "this" {}

module "archive" {
  source = "./modules/archive"

  name        = "${var.name}-archive-${local.account}-${local.region}"
  kms_key_arn = aws_kms_key.this.arn
  numbers     = local.stack.archive
  cold_tier   = var.cold_tier
  tags        = var.tags
}

module "queue" {
  source = "./modules/queue"

  name        = "${var.name}-jobs"
  kms_key_arn = aws_kms_key.this.arn
  numbers     = local.stack.queue
  tags        = var.tags
}

module "network" {
  source = "./modules/network"
  count  = local.in_vpc ? 1 : 0

  name = var.name
  cidr = var.vpc_cidr
  out  = var.network
  tags = var.tags
}

module "aurora" {
  source = "./modules/aurora"
  count  = local.in_aurora ? 1 : 0

  name                = var.name
  vpc_id              = module.network[0].vpc_id
  subnet_ids          = module.network[0].subnet_ids
  functions_group_id  = module.network[0].functions_group_id
  kms_key_arn         = aws_kms_key.this.arn
  numbers             = local.stack.aurora
  alarms              = local.stack.aurora_alarms
  alarms_topic_arn    = module.watch.topic_arn
  log_retention       = local.stack.log_retention_days
  deletion_protection = var.deletion_protection
  tags                = var.tags
}

# The schema first: the other functions refuse one that is older than they are.
module "migrate" {
  source = "./modules/function"

  name            = "${var.name}-migrate"
  numbers         = local.stack.functions.migrate
  region          = local.region
  package         = "${var.functions_dir}/migrate.zip"
  architecture    = var.architecture
  environment     = merge(local.environment, local.environment_of.migrate)
  secret_arns     = [for secret in local.stack.functions.migrate.secrets : local.secrets[secret]]
  secrets_key_arn = var.secrets_key_arn
  permissions     = { for on, actions in local.stack.functions.migrate.may : local.resources[on] => actions }
  partition       = local.partition
  kms_key_arn     = aws_kms_key.this.arn
  network         = one(module.network[*].of_functions)
  log_retention   = local.stack.log_retention_days
  tags            = var.tags
}

resource "aws_lambda_invocation" "schema" {
  function_name = module.migrate.name
  input         = "{}"

  # A change of the program, a number or the database runs the migrations again, after a new database is available.
  triggers = {
    schema   = local.stack.schema
    program  = module.migrate.code_hash
    database = jsonencode([var.database, var.database_secret_arn, var.database_owner_secret_arn, var.database_url])
  }
  depends_on = [module.aurora]
}

module "functions" {
  source   = "./modules/function"
  for_each = { for name, numbers in local.stack.functions : name => numbers if name != "migrate" }

  name            = "${var.name}-${each.key}"
  numbers         = each.value
  region          = local.region
  package         = "${var.functions_dir}/${each.key}.zip"
  architecture    = var.architecture
  environment     = merge(local.environment, lookup(local.environment_of, each.key, {}))
  secret_arns     = [for secret in each.value.secrets : local.secrets[secret]]
  secrets_key_arn = var.secrets_key_arn
  permissions     = { for on, actions in each.value.may : local.resources[on] => actions }
  partition       = local.partition
  kms_key_arn     = aws_kms_key.this.arn
  network         = one(module.network[*].of_functions)
  log_retention   = local.stack.log_retention_days
  tags            = var.tags

  depends_on = [aws_lambda_invocation.schema]
}

# A message may send further messages to the same queue: Lambda would treat that as a loop and stop it.
resource "aws_lambda_function_recursion_config" "worker" {
  function_name  = module.functions["worker"].name
  recursive_loop = "Allow"
}

resource "aws_lambda_event_source_mapping" "jobs" {
  function_name                      = module.functions["worker"].name
  event_source_arn                   = module.queue.arn
  batch_size                         = local.stack.queue.batch_size
  maximum_batching_window_in_seconds = local.stack.queue.window_secs
  function_response_types            = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = local.stack.queue.max_concurrency
  }
}

module "http_api" {
  source = "./modules/http_api"

  name           = var.name
  function_name  = module.functions["api"].name
  invoke_arn     = module.functions["api"].invoke_arn
  jwt_authorizer = try(var.oidc.jwt_authorizer, false) ? { issuer = var.oidc.issuer, audience = compact([var.oidc.audience, var.oidc.client_id]) } : null
  rate           = local.stack.http.rate
  burst          = local.stack.http.burst
  kms_key_arn    = aws_kms_key.this.arn
  log_retention  = local.stack.log_retention_days
  tags           = var.tags
}

module "watch" {
  source = "./modules/watch"

  name        = var.name
  email       = var.alarm_email
  alarms      = local.stack.alarms
  budget_usd  = var.monthly_budget_usd
  kms_key_arn = aws_kms_key.this.arn
  region      = local.region
  api_id      = module.http_api.id
  queue       = module.queue.name
  dead_queue  = module.queue.dead_name
  functions   = { for name, function in module.functions : name => function.name }
  dashboard   = "${path.module}/../deploy/dashboard.json"
  tags        = var.tags
}
