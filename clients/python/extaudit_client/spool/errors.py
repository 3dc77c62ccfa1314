"""Why an event couldn't be put into the spool."""

from __future__ import annotations


class SpoolError(Exception):
    """The event is not in the spool."""


class SpoolFull(SpoolError):
    """There was no room for it in time: the bound is reached, or the disk is full."""


class SpoolFailed(SpoolError):
    """The disk failed, and nothing more is taken; a new emitter on the same folder goes on with what is there."""


class SpoolClosed(SpoolError):
    """The emitter is closed."""


class SpoolInUse(SpoolError):
    """Another emitter has the folder."""
