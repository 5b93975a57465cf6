output "url" {
  description = "URL of the API"
  value       = module.http_api.url
}

output "archive_bucket" {
  description = "The bucket of the archive"
  value       = module.archive.name
}

output "jobs_queue_url" {
  description = "The queue that wakes workers"
  value       = module.queue.url
}

output "dead_letters_url" {
  description = "The dead-letter queue"
  value       = module.queue.dead_url
}

output "function_names" {
  description = "The functions by purpose"
  value       = merge({ for name, function in module.functions : name => function.name }, { migrate = module.migrate.name })
}

output "schema" {
  description = "Schema version before and after the last migration"
  value       = jsondecode(aws_lambda_invocation.schema.result)
}

output "kms_key_arn" {
  description = "The KMS key that encrypts all data"
  value       = aws_kms_key.this.arn
}

output "dashboard" {
  description = "The dashboard of CloudWatch"
  value       = module.watch.dashboard
}
