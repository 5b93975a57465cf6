# Two private subnets; out to NCBI over IPv6, which is free, or over one NAT gateway; S3 and DynamoDB without either.
data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394: a zone that is added moves no subnet: their zones are not looked at again

  state = "available"

  # No local zones: they have no room for functions.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

data "aws_region" "this" {}

locals {
  tags = merge(var.tags, { Name = var.name })
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11: flow logs are the account's decision: they cost more than the network

  cidr_block                       = var.cidr
  assign_generated_ipv6_cidr_block = true
  enable_dns_hostnames             = true
  enable_dns_support               = true
  tags                             = local.tags
}

# The default security group of the VPC, without rules: it admits no traffic.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_subnet" "private" {
  count = 2

  vpc_id            = aws_vpc.this.id
  availability_zone = data.aws_availability_zones.this.names[count.index]
  cidr_block        = cidrsubnet(var.cidr, 4, count.index)
  ipv6_cidr_block   = cidrsubnet(aws_vpc.this.ipv6_cidr_block, 8, count.index)
  tags              = local.tags

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_route_table_association" "private" {
  count = 2

  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_egress_only_internet_gateway" "this" {
  count = var.out == "ipv6" ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_route" "ipv6" {
  count = var.out == "ipv6" ? 1 : 0

  route_table_id              = aws_route_table.private.id
  destination_ipv6_cidr_block = "::/0"
  egress_only_gateway_id      = aws_egress_only_internet_gateway.this[0].id
}

resource "aws_route" "nat" {
  count = var.out == "nat" ? 1 : 0

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}

resource "aws_vpc_endpoint" "this" {
  for_each = toset(["s3", "dynamodb"])

  vpc_id          = aws_vpc.this.id
  service_name    = "com.amazonaws.${data.aws_region.this.id}.${each.key}"
  route_table_ids = [aws_route_table.private.id]
  tags            = local.tags
}

resource "aws_security_group" "functions" {
  #checkov:skip=CKV2_AWS_5: functions of another module are in it
  #checkov:skip=CKV_AWS_382: out to NCBI, AWS and a database whose addresses change; nothing comes in

  name        = "${var.name}-functions"
  description = "The functions of ${var.name}"
  vpc_id      = aws_vpc.this.id
  tags        = local.tags

  egress {
    description      = "NCBI, AWS and the database"
    protocol         = "-1"
    from_port        = 0
    to_port          = 0
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}
