output "dashboard" {
  description = "The name of the dashboard"
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

