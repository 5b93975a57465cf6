output "name" {
  description = "The name of the function"
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "The ARN of the function"
  value       = aws_lambda_function.this.arn
}

output "invoke_arn" {
  description = "ARN that API Gateway invokes"
  value       = aws_lambda_function.this.invoke_arn
}

output "code_hash" {
  description = "The hash of its program"
  value       = aws_lambda_function.this.source_code_hash
}
