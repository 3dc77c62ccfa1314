"""What is told of one event that isn't given."""

from __future__ import annotations

from typing import Final

from server.errors import AuditStoreError, FailedPrecondition, NotFound, Unavailable
from server.storage.value_tests import RowCondition

NOT_GIVEN: Final = "there is no such event, or the caller's roles don't admit it"
"""What the audit event says: whoever reads their own refusals there mustn't learn which it is."""


def cant_be_read(*, is_archived: bool = False, unknown: str = "") -> AuditStoreError:
    """Where it may be in what can't be read; `unknown` is a storage of which nothing says where it is."""
    if is_archived:
        text = "what may hold the event is archived, and can be read once it was restored"
        return FailedPrecondition(text, reason="OBJECT_ARCHIVED")
    if unknown:
        text = f"nothing says where storage {unknown} is, which may have the event; promote the same place again"
        return Unavailable(text, storage=unknown)
    return Unavailable("the event can't be read now")


def no_such_event(condition: RowCondition | None, *, is_there: bool) -> NotFound:
    """The same error, and so the same refusal, for what isn't there and for what `condition` doesn't admit: whether
    there is a refusal shows in a watermark. Without a condition nobody was refused anything."""
    text = "there is no such event"
    if condition is None:
        return NotFound(text)
    return NotFound(text, hidden=NOT_GIVEN, for_log="the caller's roles don't admit it" if is_there else text)
