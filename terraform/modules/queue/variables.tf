variable "name" {
  description = "The name of the queue"
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts messages"
  type        = string
}

variable "numbers" {
  description = "The section queue of deploy/stack.json"
  type = object({
    visibility_secs = number
    retention_secs  = number
    max_receives    = number
  })
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

