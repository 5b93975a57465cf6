output "vpc_id" {
  description = "The VPC"
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "The subnets of functions and database"
  value       = aws_subnet.private[*].id
}

output "functions_group_id" {
  description = "The security group of the functions"
  value       = aws_security_group.functions.id
}

output "of_functions" {
  description = "VPC configuration of a function"
  value = {
    subnet_ids = aws_subnet.private[*].id
    group_ids  = [aws_security_group.functions.id]
    ipv6       = var.out == "ipv6"
  }

  # A function that starts before the way out is there cannot reach anything.
  depends_on = [aws_route.ipv6, aws_route.nat, aws_route_table_association.private, aws_vpc_endpoint.this]
}
