"""Watching: the events of every log in their order, from any place, to their end and on as they are committed."""
