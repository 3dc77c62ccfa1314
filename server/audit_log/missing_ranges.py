"""Ranges of a log's sequences that an answer names because it doesn't give them."""

from __future__ import annotations

from collections.abc import Collection

from server.audit_log.search.query import Missing, MissingReason
from server.state.diversions import Diversion


def lost_range(storage: str, log_id: str, first: int, last: int, unread: Collection[str] = ()) -> Missing:
    """Sequences first..last of a log are nowhere, unless a storage has them that wasn't read whole yet."""
    text = "these events were lost to damage of the journal, or with what a backup doesn't have"
    if unread:
        text = f"these events are lost, unless they are in {', '.join(sorted(unread))}, which can't be read whole yet"
    return Missing(MissingReason.JOURNAL_HOLE, storage, log_id, text, first, last)


def diverted_range(diversion: Diversion, after: int) -> Missing:
    """What of a diverted batch has sequences above `after`, to who asks for the storage that it left."""
    text = f"these events were to go to storage {diversion.storage}, and are in this one; ask for it as well"
    first = max(diversion.first, after + 1)
    return Missing(MissingReason.OTHER_STORAGE, diversion.to, diversion.log_id, text, first, diversion.last)
