variable "name" {
  description = "The name of the API"
  type        = string
}

variable "function_name" {
  description = "The name of the function api"
  type        = string
}

variable "invoke_arn" {
  description = "ARN of the function that the API invokes"
  type        = string
}

variable "jwt_authorizer" {
  description = "The issuer whose tokens the gateway checks; null if only the function checks them"
  type = object({
    issuer   = string
    audience = list(string)
  })
  default = null
}

variable "rate" {
  description = "Rate limit in requests per second"
  type        = number
}

variable "burst" {
  description = "Burst limit in requests"
  type        = number
}

variable "kms_key_arn" {
  description = "The key that encrypts the log"
  type        = string
}

variable "log_retention" {
  description = "Retention of the log in days"
  type        = number
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

