"""What is told of one event that isn't given."""

from __future__ import annotations

from typing import Final

from server.errors import AuditStoreError, FailedPrecondition, NotFound, Unavailable

NOT_ADMITTED: Final = "there is such an event, and the caller's roles don't admit it"
"""Why an event isn't found, for the audit event alone."""


def cant_be_read(*, is_archived: bool = False) -> AuditStoreError:
    """Where it may be in what can't be read."""
    if is_archived:
        text = "what may hold the event is archived, and can be read once it was restored"
        return FailedPrecondition(text, reason="OBJECT_ARCHIVED")
    return Unavailable("the event can't be read now")


def no_such_event(hidden: str = "") -> NotFound:
    """The same error for what isn't there and for what the caller may not see, but for the reason that isn't shown."""
    return NotFound("there is no such event", hidden=hidden)
