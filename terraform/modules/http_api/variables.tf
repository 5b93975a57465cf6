variable "name" {
  description = "The name of the API"
  type        = string
}

variable "function_name" {
  description = "The name of the function api"
  type        = string
}

variable "invoke_arn" {
  description = "What is called of it"
  type        = string
}

variable "jwt_authorizer" {
  description = "The issuer whose tokens the gateway checks; null when the function alone does"
  type = object({
    issuer   = string
    audience = list(string)
  })
  default = null
}

variable "rate" {
  description = "Requests a second"
  type        = number
}

variable "burst" {
  description = "Requests at once"
  type        = number
}

variable "kms_key_arn" {
  description = "The key that encrypts the log"
  type        = string
}

variable "log_retention" {
  description = "Days that the log is kept"
  type        = number
}

variable "tags" {
  description = "Tags of everything"
  type        = map(string)
}

