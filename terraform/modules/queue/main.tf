# Messages that wake workers, and those that were given up.
resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead"
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = var.numbers.retention_secs
  tags                      = var.tags
}

resource "aws_sqs_queue" "jobs" {
  name                       = var.name
  kms_master_key_id          = var.kms_key_arn
  message_retention_seconds  = var.numbers.retention_secs
  visibility_timeout_seconds = var.numbers.visibility_secs
  tags                       = var.tags

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = var.numbers.max_receives
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "dead_letters" {
  queue_url = aws_sqs_queue.dead_letters.id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.jobs.arn]
  })
}
