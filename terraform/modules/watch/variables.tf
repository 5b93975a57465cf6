variable "name" {
  description = "What everything is called"
  type        = string
}

variable "email" {
  description = "Who hears of alarms and of the budget"
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
  description = "What may be spent in a month; 0 for no budget"
  type        = number
}

variable "kms_key_arn" {
  description = "The key that encrypts alarms"
  type        = string
}

variable "region" {
  description = "Where the metrics are"
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
  description = "The name of the queue of dead letters"
  type        = string
}

variable "functions" {
  description = "The names of the functions by their concern"
  type        = map(string)
}

variable "dashboard" {
  description = "The file deploy/dashboard.json"
  type        = string
}

variable "tags" {
  description = "Tags of everything"
  type        = map(string)
}

