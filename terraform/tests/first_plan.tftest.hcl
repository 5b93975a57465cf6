# The first plan, before anything is there: nothing that must be known may depend on what is not.
mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

variables {
  auth_tokens_secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:tokens"
  pubmed_email           = "a@example.org"
  alarm_email            = "a@example.org"
}

run "the_smallest" {
  command = plan
  variables {
    database_secret_arn = "arn:aws:secretsmanager:us-east-1:111122223333:secret:database"
  }

  assert {
    condition     = length(module.functions) == 3
    error_message = "It can be planned."
  }
}

run "everything" {
  command = plan
  variables {
    database        = "aurora"
    database_ca_pem = "-----BEGIN CERTIFICATE-----"
    network         = "nat"
    cold_tier       = true
  }

  assert {
    condition     = length(module.aurora) == 1
    error_message = "It can be planned."
  }
}
