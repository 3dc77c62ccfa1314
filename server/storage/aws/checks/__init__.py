"""Checks of a connection to AWS, each told by name with the remedy where it fails."""
