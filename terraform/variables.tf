variable "name" {
  description = "Name or name prefix of all resources: lower-case letters, digits and dashes"
  type        = string
  default     = "bio-mcp"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}$", var.name))
    error_message = "name must be 2 to 25 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "functions_dir" {
  description = "Directory with api.zip, worker.zip, scheduler.zip and migrate.zip, as `make functions` writes them to target/lambda"
  type        = string
}

variable "architecture" {
  description = "Architecture that the programs were built for: arm64 or x86_64"
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "database" {
  description = "url: your own Postgres, reached over TLS; aurora: Aurora Serverless v2, which requires a network"
  type        = string
  default     = "url"

  validation {
    condition     = contains(["url", "aurora"], var.database)
    error_message = "database must be url or aurora."
  }

  validation {
    condition     = var.database != "aurora" || var.network != "none"
    error_message = "Aurora requires a VPC: set network to ipv6 or nat."
  }
}

variable "database_secret_arn" {
  description = "ARN of a secret with a Postgres URL, or with the JSON of a secret that AWS manages; not with aurora, which creates its own"
  type        = string
  default     = null

  validation {
    condition     = (var.database_secret_arn == null) == (var.database == "aurora")
    error_message = "database_secret_arn is required with database = \"url\", and not allowed with aurora."
  }
}

variable "database_owner_secret_arn" {
  description = "ARN of such a secret of the owner of the tables, for migrate alone, which creates the user of database_secret_arn (JSON with username and password): that user cannot change tables"
  type        = string
  default     = null

  validation {
    condition     = var.database_owner_secret_arn == null || var.database != "aurora"
    error_message = "Aurora has its own owner: omit database_owner_secret_arn."
  }
}

variable "database_url" {
  description = "postgres://host/database, for a managed secret without a host"
  type        = string
  default     = null
}

variable "database_ca_pem" {
  description = "One certificate (PEM, also on one line) of the database's certificate authority, if the system does not know it, as for RDS and Aurora"
  type        = string
  default     = null

  validation {
    condition     = var.database != "aurora" || var.database_ca_pem != null
    error_message = "Aurora requires database_ca_pem, a certificate of its certificate authority."
  }

  validation {
    # The environment of a function is limited to 4 KB in total.
    condition     = length(coalesce(var.database_ca_pem, "-")) <= 2500
    error_message = "database_ca_pem must be one certificate of at most 2500 characters, not the whole bundle."
  }
}

variable "secrets_key_arn" {
  description = "ARN of the KMS key that encrypts the secrets, if it is not the AWS managed key"
  type        = string
  default     = null
}

variable "network" {
  description = "none: functions outside of a VPC; ipv6: in a VPC with an egress-only gateway (free); nat: in a VPC with one NAT gateway"
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "ipv6", "nat"], var.network)
    error_message = "network must be none, ipv6 or nat."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16 to /20"
  type        = string
  default     = "10.71.0.0/16"
}

variable "auth_tokens_secret_arn" {
  description = "ARN of a secret with hashes of tokens, as `bio-mcp token new` prints them; alternatively set oidc"
  type        = string
  default     = null

  validation {
    condition     = (var.auth_tokens_secret_arn == null) != (var.oidc == null)
    error_message = "No authentication is configured, or two kinds: set auth_tokens_secret_arn or oidc, not both."
  }
}

variable "oidc" {
  description = "An OpenID Connect issuer whose tokens are accepted; roles: which of their claims grant which role, each as read|submit|admin:claim=value; jwt_authorizer: API Gateway checks them too (RSA only); client_id: the client whose tokens without aud are let in, as access tokens of Amazon Cognito are"
  type = object({
    issuer         = string
    audience       = optional(string)
    client_id      = optional(string)
    roles          = list(string)
    jwt_authorizer = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.oidc == null || try(var.oidc.audience, null) != null || try(var.oidc.client_id, null) != null
    error_message = "oidc requires audience or client_id."
  }

  validation {
    condition     = var.oidc == null || (length(try(var.oidc.roles, [])) > 0 && alltrue([for rule in try(var.oidc.roles, []) : can(regex("^(read|submit|admin):[^=,]+=[^,]+$", rule))]))
    error_message = "oidc.roles requires at least one rule such as \"submit:scope=archive.submit\"."
  }
}

variable "pubmed_email" {
  description = "Contact e-mail for NCBI, which writes to it before blocking an address"
  type        = string
}

variable "pubmed_api_key_secret_arn" {
  description = "ARN of a secret with an NCBI API key, which raises the rate limit from 3 to 10 requests/s"
  type        = string
  default     = null
}

variable "sync_topics" {
  description = "Queries that are synced every day"
  type        = list(object({ query_key = string, query = string }))
  default     = []
}

variable "settings" {
  description = "Any other setting of .env.example, as a JSON object of variables; alternatively set settings_secret_arn or environment"
  type        = string
  default     = null
}

variable "settings_secret_arn" {
  description = "ARN of a secret with such an object, with room for 64 KB: the environment of a function holds 4 KB"
  type        = string
  default     = null

  validation {
    condition     = var.settings_secret_arn == null || var.settings == null
    error_message = "Set settings or settings_secret_arn, not both."
  }
}

variable "otlp_endpoint" {
  description = "URL of an OpenTelemetry collector (OTLP over HTTP) that receives the spans"
  type        = string
  default     = null
}

variable "cold_tier" {
  description = "Objects over 128 KB go to Glacier Instant Retrieval after 90 days; docs/cost.md explains when that pays off"
  type        = bool
  default     = false
}

variable "alarm_email" {
  description = "E-mail address for alarms and the budget"
  type        = string
}

variable "monthly_budget_usd" {
  description = "Monthly budget in US dollars that triggers an e-mail; 0 for no budget"
  type        = number
  default     = 50
}

variable "deletion_protection" {
  description = "Whether the Aurora database is protected from deletion until this is set to false"
  type        = bool
  default     = true
}

variable "environment" {
  description = "Additional settings for every function, as in .env.example"
  type        = map(string)
  default     = {}
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
  default     = {}
}
