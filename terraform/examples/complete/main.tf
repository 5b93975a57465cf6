# Everything: Aurora in a VPC that reaches NCBI over IPv6, tokens of an issuer, daily syncs, spans, a cold tier.
provider "aws" {
  region = "eu-central-1"
}

variable "email" {
  description = "Your e-mail address, for NCBI and for alarms"
  type        = string
}

variable "pubmed_api_key_secret_arn" {
  description = "ARN of a secret with your NCBI API key"
  type        = string
}

variable "database_ca_pem_file" {
  description = "The certificate of the region's RDS authority, from its bundle"
  type        = string
}

module "bio_mcp" {
  source = "../.."

  name            = "literature"
  functions_dir   = "../../../target/lambda"
  architecture    = "arm64"
  database        = "aurora"
  database_ca_pem = file(var.database_ca_pem_file)
  network         = "ipv6"

  oidc = {
    issuer         = "https://login.example.org/"
    audience       = "bio-mcp"
    roles          = ["read:scope=archive.read", "submit:scope=archive.submit"]
    jwt_authorizer = true
  }

  pubmed_email              = var.email
  pubmed_api_key_secret_arn = var.pubmed_api_key_secret_arn
  sync_topics               = [{ query_key = "asthma", query = "asthma[mesh]" }]

  otlp_endpoint      = "https://collector.example.org:4318"
  cold_tier          = true
  alarm_email        = var.email
  monthly_budget_usd = 200
  environment        = { BIO_MCP_LOG_LEVEL = "info" }
  tags               = { project = "literature" }
}

output "url" {
  description = "URL of the API"
  value       = module.bio_mcp.url
}
