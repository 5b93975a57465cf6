variable "name" {
  description = "Name or name prefix of all resources"
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC"
  type        = string
}

variable "out" {
  description = "ipv6 or nat"
  type        = string
}

variable "tags" {
  description = "Tags of all resources"
  type        = map(string)
}

