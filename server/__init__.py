"""The extaudit service."""
