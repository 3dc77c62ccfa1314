"""Building the infrastructure of an external audit storage, with the administrator's own AWS credentials."""
