output "url" {
  description = "URL of the database without user and password, which are in the secret"
  value       = "postgres://${aws_rds_cluster.this.endpoint}/${aws_rds_cluster.this.database_name}"
}

output "secret_arn" {
  description = "The secret with user and password"
  value       = aws_rds_cluster.this.master_user_secret[0].secret_arn
}


output "functions_secret_arn" {
  description = "The secret with the role that functions log in as"
  value       = aws_secretsmanager_secret_version.functions.arn
}
