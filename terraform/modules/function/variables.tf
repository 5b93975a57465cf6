variable "name" {
  description = "The name of the function"
  type        = string
}

variable "region" {
  description = "Where it runs: part of its role's name"
  type        = string
}

variable "numbers" {
  description = "Its part of the section functions of deploy/stack.json"
  type = object({
    timeout_secs = number
    memory_mb    = number
    storage_mb   = number
    concurrency  = number
  })
}

variable "package" {
  description = "The zip file with the program bootstrap"
  type        = string
}

variable "architecture" {
  description = "arm64 or x86_64"
  type        = string
}

variable "environment" {
  description = "Settings; what is null is left out"
  type        = map(string)
}

variable "secret_arns" {
  description = "Secrets that it reads; what is null is left out"
  type        = list(string)
}

variable "secrets_key_arn" {
  description = "The key of the secrets, where it is not the one that AWS manages"
  type        = string
  default     = null
}

variable "permissions" {
  description = "ARNs, and what may be done to each"
  type        = map(list(string))
}

variable "partition" {
  description = "aws, or that of another part of the world"
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts environment and log"
  type        = string
}

variable "network" {
  description = "Where it is in a VPC; null for outside"
  type = object({
    subnet_ids = list(string)
    group_ids  = list(string)
    ipv6       = bool
  })
  default = null
}

variable "log_retention" {
  description = "Days that its log is kept"
  type        = number
}

variable "tags" {
  description = "Tags of everything"
  type        = map(string)
}

