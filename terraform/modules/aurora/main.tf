# Aurora Serverless v2: its password is kept and changed by AWS.
resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "The database of ${var.name}"
  vpc_id      = var.vpc_id
  tags        = var.tags

  ingress {
    description     = "The functions"
    protocol        = "tcp"
    from_port       = 5432
    to_port         = 5432
    security_groups = [var.functions_group_id]
  }
}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
  tags       = var.tags
}

resource "aws_rds_cluster_parameter_group" "this" {
  name        = var.name
  family      = "aurora-postgresql${split(".", var.numbers.engine_version)[0]}"
  description = "Only over TLS"
  tags        = var.tags

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  # Of a slow statement its text and the start of each parameter are logged: a batch of records would be 0.7 MB.
  parameter {
    name  = "log_parameter_max_length"
    value = var.numbers.log_parameter_bytes
  }

  parameter {
    name  = "log_parameter_max_length_on_error"
    value = "0"
  }
}

# Made first: RDS would make it without a key and without an end.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/rds/cluster/${var.name}/postgresql"
  retention_in_days = var.log_retention
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_rds_cluster" "this" {
  #checkov:skip=CKV_AWS_324: logs are exported; what they hold is set by the parameter group
  #checkov:skip=CKV2_AWS_8: backups are kept by the cluster itself; a plan of AWS Backup is the account's decision
  #checkov:skip=CKV2_AWS_27: statements hold no secrets but are many; slow ones are logged by the parameter group

  cluster_identifier                  = var.name
  engine                              = "aurora-postgresql"
  engine_version                      = var.numbers.engine_version
  database_name                       = "biomcp"
  master_username                     = "biomcp"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = var.kms_key_arn
  db_subnet_group_name                = aws_db_subnet_group.this.name
  db_cluster_parameter_group_name     = aws_rds_cluster_parameter_group.this.name
  vpc_security_group_ids              = [aws_security_group.this.id]
  storage_encrypted                   = true
  kms_key_id                          = var.kms_key_arn
  backup_retention_period             = var.numbers.backup_days
  copy_tags_to_snapshot               = true
  deletion_protection                 = var.deletion_protection
  skip_final_snapshot                 = false
  final_snapshot_identifier           = "${var.name}-final"
  iam_database_authentication_enabled = true
  enabled_cloudwatch_logs_exports     = ["postgresql"]
  tags                                = var.tags
  depends_on                          = [aws_cloudwatch_log_group.this]

  serverlessv2_scaling_configuration {
    min_capacity = var.numbers.min_acu
    max_capacity = var.numbers.max_acu
  }
}

# What the functions log in with; migrate makes the role.
resource "aws_secretsmanager_secret" "functions" {
  #checkov:skip=CKV2_AWS_57: another password is another deployment: migrate gives it to the role

  name        = "${var.name}-functions"
  description = "The role of the database that functions log in as"
  kms_key_id  = var.kms_key_arn
  tags        = var.tags
}

data "aws_secretsmanager_random_password" "functions" {
  password_length     = 40
  exclude_punctuation = true
}

resource "aws_secretsmanager_secret_version" "functions" {
  secret_id = aws_secretsmanager_secret.functions.id
  secret_string = jsonencode({
    username = "bio_mcp_functions"
    password = data.aws_secretsmanager_random_password.functions.random_password
  })

  # The first one stays: the data give another each time.
  lifecycle {
    ignore_changes = [secret_string]
  }
}

resource "aws_rds_cluster_instance" "this" {
  #checkov:skip=CKV_AWS_118: Performance Insights keeps a week of what is asked; the machine below is AWS' own
  #checkov:skip=CKV_AWS_226: an upgrade is a change of deploy/stack.json: else the next plan would ask for the older version

  identifier                      = "${var.name}-writer"
  cluster_identifier              = aws_rds_cluster.this.id
  instance_class                  = "db.serverless"
  engine                          = aws_rds_cluster.this.engine
  engine_version                  = aws_rds_cluster.this.engine_version
  auto_minor_version_upgrade      = false
  publicly_accessible             = false
  performance_insights_enabled    = true
  performance_insights_kms_key_id = var.kms_key_arn
  tags                            = var.tags
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = var.alarms

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = { for name, value in each.value.dimensions : name => aws_rds_cluster.this.cluster_identifier }
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.comparison
  treat_missing_data  = each.value.missing
  alarm_actions       = [var.alarms_topic_arn]
  ok_actions          = [var.alarms_topic_arn]
  tags                = var.tags
}
