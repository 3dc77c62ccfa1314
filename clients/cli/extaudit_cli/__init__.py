"""The command `extaudit`."""
