# Schedules of the function scheduler. What a tick missed, the next tick does.
resource "aws_scheduler_schedule" "this" {
  for_each = local.stack.schedules

  name                = "${var.name}-${each.key}"
  schedule_expression = each.value.expression
  kms_key_arn         = aws_kms_key.this.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = module.functions["scheduler"].arn
    role_arn = aws_iam_role.clock.arn
    input    = jsonencode(each.value.input)

    retry_policy {
      maximum_retry_attempts = 0
    }
  }
}

# Scheduled calls are asynchronous: Lambda would retry a failed one twice, hours later.
resource "aws_lambda_function_event_invoke_config" "scheduler" {
  function_name                = module.functions["scheduler"].name
  maximum_retry_attempts       = 0
  maximum_event_age_in_seconds = 60
}

resource "aws_iam_role" "clock" {
  # IAM names are account-wide: a stack in another region needs its own.
  name = "${var.name}-${local.region}-clock"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "clock" {
  name = "clock"
  role = aws_iam_role.clock.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = module.functions["scheduler"].arn },
      { Effect = "Allow", Action = ["kms:Decrypt"], Resource = aws_kms_key.this.arn },
    ]
  })
}
