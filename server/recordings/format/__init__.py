"""Teleport's recording stream: reading it as it comes, and writing it.

A recording is a row of parts. A part is a header, a gzip member of length-prefixed records, and zeros that fill it up;
a record is one event (`extaudit.recording.v1.OneOf`). What the bytes say is never trusted: a recording may come from
anybody who may upload one.
"""
