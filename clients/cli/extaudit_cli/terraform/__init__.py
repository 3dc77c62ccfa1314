"""Files for Terraform: what they are made of, and how that is written."""
