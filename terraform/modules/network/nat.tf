# A NAT gateway in a public subnet of its own.
resource "aws_internet_gateway" "this" {
  count = var.out == "nat" ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_subnet" "public" {
  count = var.out == "nat" ? 1 : 0

  vpc_id            = aws_vpc.this.id
  availability_zone = data.aws_availability_zones.this.names[0]
  cidr_block        = cidrsubnet(var.cidr, 8, 32)
  tags              = local.tags

  lifecycle {
    ignore_changes = [availability_zone]
  }
}

resource "aws_route_table" "public" {
  count = var.out == "nat" ? 1 : 0

  vpc_id = aws_vpc.this.id
  tags   = local.tags
}

resource "aws_route_table_association" "public" {
  count = var.out == "nat" ? 1 : 0

  subnet_id      = aws_subnet.public[0].id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route" "public" {
  count = var.out == "nat" ? 1 : 0

  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_eip" "nat" {
  count = var.out == "nat" ? 1 : 0

  domain = "vpc"
  tags   = local.tags
}

resource "aws_nat_gateway" "this" {
  count = var.out == "nat" ? 1 : 0

  subnet_id     = aws_subnet.public[0].id
  allocation_id = aws_eip.nat[0].id
  tags          = local.tags
  depends_on    = [aws_internet_gateway.this]
}
