output "name" {
  description = "The name of the queue"
  value       = aws_sqs_queue.jobs.name
}

output "arn" {
  description = "The ARN of the queue"
  value       = aws_sqs_queue.jobs.arn
}

output "url" {
  description = "The URL of the queue"
  value       = aws_sqs_queue.jobs.url
}

output "dead_name" {
  description = "The name of the dead-letter queue"
  value       = aws_sqs_queue.dead_letters.name
}

output "dead_url" {
  description = "The URL of the dead-letter queue"
  value       = aws_sqs_queue.dead_letters.url
}

