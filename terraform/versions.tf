# Terraform: for production; template.yaml (SAM) deploys the same as a quick stack. See docs/deploying.md.
terraform {
  required_version = ">= 1.9"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100, < 7.0"
    }
  }
}
