"""Uploads: from the first chunk of a recording to its completion and custody."""
