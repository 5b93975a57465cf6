variable "name" {
  description = "Name or name prefix of all resources"
  type        = string
}

variable "email" {
  description = "E-mail address for alarms and the budget"
  type        = string
}

variable "alarms" {
  description = "The section alarms of deploy/stack.json"
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

variable "budget_usd" {
  description = "Monthly budget in US dollars; 0 for no budget"
  type        = number
}

variable "kms_key_arn" {
  description = "The key that encrypts alarms"
  type        = string
}

variable "region" {
  description = "Namespace of the metrics"
  type        = string
}

variable "api_id" {
  description = "The HTTP API"
  type        = string
}

variable "queue" {
  description = "The name of the queue"
  type        = string
}

variable "dead_queue" {
  description = "The name of the dead-letter queue"
  type        = string
}

variable "functions" {
  description = "The names of the functions by purpose"
  type        = map(string)
}

variable "dashboard" {
  description = "The file deploy/dashboard.json"
  type        = string
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

