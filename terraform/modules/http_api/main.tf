# Every request to one function, which looks at its token whatever the gateway did.
resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  protocol_type = "HTTP"
  tags          = var.tags
}

resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true
  tags        = var.tags

  default_route_settings {
    throttling_rate_limit  = var.rate
    throttling_burst_limit = var.burst
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format = jsonencode({
      requestId = "$context.requestId"
      status    = "$context.status"
      routeKey  = "$context.routeKey"
      latency   = "$context.responseLatency"
    })
  }
}

resource "aws_apigatewayv2_integration" "this" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.invoke_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_authorizer" "issuer" {
  count = var.jwt_authorizer == null ? 0 : 1

  api_id           = aws_apigatewayv2_api.this.id
  name             = "issuer"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer = var.jwt_authorizer.issuer
    # The gateway takes client_id for the audience of a token without one.
    audience = var.jwt_authorizer.audience
  }
}

resource "aws_apigatewayv2_route" "every" {
  #checkov:skip=CKV_AWS_309: the function itself refuses requests without a token; jwt_authorizer adds the gateway's own check

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = "$default"
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = var.jwt_authorizer == null ? "NONE" : "JWT"
  authorizer_id      = one(aws_apigatewayv2_authorizer.issuer[*].id)
}

# Load balancers and people ask these without a token, and clients who gives one; they tell nothing else.
resource "aws_apigatewayv2_route" "open" {
  #checkov:skip=CKV_AWS_309: load balancers and people ask this without a token; it tells nothing

  for_each = toset(var.jwt_authorizer == null ? [] : ["/healthz", "/livez", "/readyz", "/.well-known/{proxy+}"])

  api_id             = aws_apigatewayv2_api.this.id
  route_key          = "GET ${each.key}"
  target             = "integrations/${aws_apigatewayv2_integration.this.id}"
  authorization_type = "NONE"
}

resource "aws_lambda_permission" "this" {
  action        = "lambda:InvokeFunction"
  function_name = var.function_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*"
}
