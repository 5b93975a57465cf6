variable "name" {
  description = "The name of the bucket"
  type        = string
}

variable "kms_key_arn" {
  description = "The key that encrypts objects"
  type        = string
}

variable "numbers" {
  description = "The section archive of deploy/stack.json"
  type = object({
    abort_uploads_days  = number
    cold_tier_days      = number
    cold_tier_class     = string
    cold_tier_min_bytes = number
  })
}

variable "cold_tier" {
  description = "Whether large objects move to Glacier Instant Retrieval"
  type        = bool
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

