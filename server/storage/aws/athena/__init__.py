"""Athena: which stored objects hold matching rows, asked of Amazon Athena by three calls."""
