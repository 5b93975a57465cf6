# The smallest: your Postgres, tokens of your own, no VPC.
provider "aws" {
  region = "us-east-1"
}

variable "database_secret_arn" {
  description = "ARN of a secret with postgres://user:password@host/database"
  type        = string
}

variable "auth_tokens_secret_arn" {
  description = "ARN of a secret with hashes of tokens: `bio-mcp token new`"
  type        = string
}

variable "email" {
  description = "Your e-mail address, for NCBI and for alarms"
  type        = string
}

module "bio_mcp" {
  source = "../.."

  functions_dir          = "../../../target/lambda"
  database_secret_arn    = var.database_secret_arn
  auth_tokens_secret_arn = var.auth_tokens_secret_arn
  pubmed_email           = var.email
  alarm_email            = var.email
}

output "url" {
  description = "URL of the API"
  value       = module.bio_mcp.url
}
