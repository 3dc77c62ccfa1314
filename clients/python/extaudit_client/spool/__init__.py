"""A local spool of events: what was put in survives the process, and stays until it is settled."""
