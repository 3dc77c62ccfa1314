"""Alerts: what of a storage fails so often, or is so wrong, that somebody has to be told."""
