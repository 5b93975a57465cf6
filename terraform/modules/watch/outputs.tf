output "dashboard" {
  description = "The name of the dashboard"
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}


output "topic_arn" {
  description = "Topic that receives alarms"
  value       = aws_sns_topic.alarms.arn
}
