variable "name" {
  description = "Name or name prefix of all resources"
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
    engine_version      = string
    min_acu             = number
    max_acu             = number
    backup_days         = number
    log_parameter_bytes = number
  })
}

variable "alarms" {
  description = "The section aurora_alarms of deploy/stack.json"
  type = map(object({
    description = string
    namespace   = string
    metric      = string
    dimensions  = map(string)
    statistic   = string
    period      = number
    periods     = number
    threshold   = number
    comparison  = string
    missing     = string
  }))
}

variable "alarms_topic_arn" {
  description = "Topic that receives alarms"
  type        = string
}

variable "log_retention" {
  description = "Retention of the log in days"
  type        = number
}

variable "deletion_protection" {
  description = "Whether the database is protected from deletion"
  type        = bool
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

