"""What is done with the administrator's own AWS credentials, which the service never sees."""
