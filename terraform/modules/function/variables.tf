variable "name" {
  description = "The name of the function"
  type        = string
}

variable "region" {
  description = "Region of the function, part of its role's name"
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
  description = "Environment variables; null values are omitted"
  type        = map(string)
}

variable "secret_arns" {
  description = "Secrets that the function reads; null values are omitted"
  type        = list(string)
}

variable "secrets_key_arn" {
  description = "The key of the secrets, if it is not the AWS managed key"
  type        = string
  default     = null
}

variable "permissions" {
  description = "Actions that are allowed, by ARN"
  type        = map(list(string))
}

variable "partition" {
  description = "AWS partition: aws, or that of another region group"
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts environment and log"
  type        = string
}

variable "network" {
  description = "Subnets and security group in a VPC; null for no VPC"
  type = object({
    subnet_ids = list(string)
    group_ids  = list(string)
    ipv6       = bool
  })
  default = null
}

variable "log_retention" {
  description = "Retention of the log in days"
  type        = number
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

