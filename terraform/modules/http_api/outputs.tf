output "id" {
  description = "The id of the API"
  value       = aws_apigatewayv2_api.this.id
}

output "url" {
  description = "Where it is"
  value       = aws_apigatewayv2_api.this.api_endpoint
}

