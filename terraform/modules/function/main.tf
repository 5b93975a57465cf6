# One program as a function, its log, and a role that may do what it needs and nothing else.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "this" {
  # Names of IAM are those of the whole account: another region has a stack of its own.
  name = "${var.name}-${var.region}"
  tags = var.tags

  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "this" {
  name = "function"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.this.arn}:*" },
        { Effect = "Allow", Action = ["secretsmanager:GetSecretValue"], Resource = compact(var.secret_arns) },
      ],
      [for arn, actions in var.permissions : { Effect = "Allow", Action = actions, Resource = arn }],
      [for arn in compact([var.secrets_key_arn]) : { Effect = "Allow", Action = ["kms:Decrypt"], Resource = arn }],
    )
  })
}

resource "aws_iam_role_policy_attachment" "traces" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/AWSXRayDaemonWriteAccess"
}

resource "aws_iam_role_policy_attachment" "network" {
  count = var.network == null ? 0 : 1

  role       = aws_iam_role.this.name
  policy_arn = "arn:${var.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116: who calls hears of a failure, and the queue has dead letters
  #checkov:skip=CKV_AWS_117: in a VPC where the variable network says so; it must reach NCBI
  #checkov:skip=CKV_AWS_272: signing needs a profile of the account; the package's hash is part of the plan

  function_name                  = var.name
  role                           = aws_iam_role.this.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  filename                       = var.package
  source_code_hash               = filebase64sha256(var.package)
  timeout                        = var.numbers.timeout_secs
  memory_size                    = var.numbers.memory_mb
  reserved_concurrent_executions = var.numbers.concurrency
  kms_key_arn                    = var.kms_key_arn
  tags                           = var.tags

  environment {
    variables = { for name, value in var.environment : name => value if value != null }
  }

  ephemeral_storage {
    size = var.numbers.storage_mb
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  tracing_config {
    mode = "Active"
  }

  dynamic "vpc_config" {
    for_each = var.network == null ? [] : [var.network]

    content {
      subnet_ids                  = vpc_config.value.subnet_ids
      security_group_ids          = vpc_config.value.group_ids
      ipv6_allowed_for_dual_stack = vpc_config.value.ipv6
    }
  }

  # Without its permissions its first call would fail.
  depends_on = [aws_iam_role_policy.this, aws_iam_role_policy_attachment.network, aws_iam_role_policy_attachment.traces]
}
