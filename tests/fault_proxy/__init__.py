"""A proxy between the service and AWS, or its sandbox, that has requests go wrong as a test plans it."""
