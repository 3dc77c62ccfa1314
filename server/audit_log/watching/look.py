"""One look at the logs: from a place as far as one answer takes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from server.audit_log.event import Event, digest_of
from server.audit_log.receipts import Receipt
from server.audit_log.search.page_reader import OMIT_BYTES
from server.audit_log.search.query import FoundEvent, Missing
from server.audit_log.watching.log_parts import LogPart, Selection
from server.audit_log.watching.log_reader import LogReader
from server.audit_log.watching.query import Place
from server.storage.matching import Matcher
from server.storage.query import CUT_CHARACTERS, Position

_SEQUENCES_AT_ONCE = 20_000
"""After so many, a look ends though it found nothing, so that its caller's rights are asked again."""
_MOST_EVENTS = 1000
"""Of an answer: fewer than a page has, as whoever watches beside it waits until it is made."""
_MOST_BYTES = 1024 * 1024
"""JSON of an answer of several events."""
_COLUMNS_BYTES = 256
"""What an event takes in an answer beside its JSON, its user and its session."""


@dataclass(slots=True)
class Look:
    """What one look found. Filled by `look_on`."""

    place: dict[str, int]
    """How far everything was looked at."""
    events: list[FoundEvent] = field(default_factory=list)
    encoded: bytes = b""
    missing: list[Missing] = field(default_factory=list)
    caught_up: bool = False
    bytes: int = 0
    sequences: int = 0

    def has_room_for(self, size: int) -> bool:
        """Whether an event of this size fits; the first one always does."""
        return not self.events or (len(self.events) < _MOST_EVENTS and self.bytes + size <= _MOST_BYTES)

    def is_over(self) -> bool:
        """Whether it has gone on for long enough."""
        return self.sequences >= _SEQUENCES_AT_ONCE or not self.has_room_for(1)


def look_on(
    reader: LogReader,
    place: Place,
    selection: Selection,
    matches: Matcher,
    storages: Collection[str] | None,
) -> Look:
    """Look on from a place: to the end of every log, or until an answer is full.

    `storages` are those whose events are wanted; None for all.

    Raises:
        StorageError: something can't be read now; nothing is lost by looking again from the same place.
    """
    look = Look(dict(place))
    for log_id in reader.ends():
        while (part := reader.next(log_id, look.place.get(log_id, 0), storages)) is not None:
            if not _take(look, log_id, part, selection, matches):
                return look
    look.caught_up = True
    return look


def _take(look: Look, log_id: str, part: LogPart, selection: Selection, matches: Matcher) -> bool:
    """Take what is wanted of a part; False when the answer is full, or has been looked for long enough."""
    before = look.place.get(log_id, 0)
    look.missing += part.missing()
    for sequence, event, receipt in part.rows(selection):
        if not matches(*event[:6]):
            if look.sequences + sequence - before > _SEQUENCES_AT_ONCE:
                return _stop(look, log_id, before, sequence)
            continue
        size = min(len(event.data), OMIT_BYTES) + len(event.user.encode()) + len(event.session_id) + _COLUMNS_BYTES
        if not look.has_room_for(size):
            return _stop(look, log_id, before, sequence - 1)
        look.events.append(_found(event, receipt))
        look.bytes += size
    _stop(look, log_id, before, part.last)
    return not look.is_over()


def _stop(look: Look, log_id: str, before: int, done: int) -> bool:
    look.place[log_id] = done
    look.sequences += done - before
    return False


def _found(event: Event, receipt: Receipt) -> FoundEvent:
    size, user = len(event.data), event.user
    position = Position(event.time_ms, event.uid, digest_of(event.data))
    data: bytes | None = event.data
    if size + len(user.encode()) > OMIT_BYTES:
        data, user = None, user[:CUT_CHARACTERS]
    return FoundEvent(position, event.type, event.session_id, user, size, data, (receipt,))
