"""The journal: the local, durable, append-only log that an event is in before it is acknowledged.

A journal folder holds one folder for each log, and in it segments named for their first sequence. A segment is a row of
frames; frames become valid with the commit frame that ends their group. What is in a log's damaged part is never
guessed: the readable rest is kept, the lost range gets a name.
"""
