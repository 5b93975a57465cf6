variable "name" {
  description = "What everything is called"
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
  description = "Tags of everything"
  type        = map(string)
}

