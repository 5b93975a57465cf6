variable "name" {
  description = "What everything is called"
  type        = string
}

variable "vpc_id" {
  description = "The VPC"
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets, in two zones"
  type        = list(string)
}

variable "functions_group_id" {
  description = "The security group that may connect"
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts data and password"
  type        = string
}

variable "numbers" {
  description = "The section aurora of deploy/stack.json"
  type = object({
    engine_version = string
    min_acu        = number
    max_acu        = number
    backup_days    = number
  })
}

variable "log_retention" {
  description = "Days that its log is kept"
  type        = number
}

variable "deletion_protection" {
  description = "Whether it cannot be deleted"
  type        = bool
}

variable "tags" {
  description = "Tags of everything"
  type        = map(string)
}

