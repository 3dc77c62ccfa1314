"""Exports: forms of files, the state that says how far they are durable, and the run that goes on from it."""
