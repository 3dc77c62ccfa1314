"""Following the log: what is committed reaches the session index before anybody asks it, and before it leaves the tail.

Nothing is done where events come in. A read of the index follows the tail first; a delivery does so before its section
leaves. So what an index hasn't followed is either in the tail, or, where the state database was lost or is from before
there was an index, in stored batches, which `rebuilding.py` reads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby

import orjson

from server.audit_log.columns.selecting import TypeSelection
from server.audit_log.event import Event
from server.audit_log.event_block import events_of, owners, rows_of
from server.audit_log.receipts import Emitter, decode_emitter
from server.audit_log.tail import Pinned, Tail, TailBlock
from server.recordings.sessions.session_events import (
    END_TYPES,
    SESSION_TYPES,
    SessionEvent,
    claim_of,
    speaker_of,
)
from server.state.catalogue import Catalogue
from server.state.session_claims import Speaker
from server.state.session_ends import SessionEnd
from server.state.sessions import SqlSessionIndex, Told

_log = logging.getLogger(__name__)
_SELECTION = TypeSelection(SESSION_TYPES)


class LogFollower:
    """Keeps one generation of the index in step with the log. Safe to use from several threads."""

    def __init__(self, index: SqlSessionIndex, generation: int, tail: Tail, catalogue: Catalogue) -> None:
        self._index = index
        self.generation = generation
        self._tail = tail
        self._catalogue = catalogue
        self._kept = index.logs(generation)
        self._logs = dict(self._kept)
        """How far each log is followed; ahead of what is kept where nothing of a session came."""
        self._lock = threading.Lock()

    def follow(self, *, keep: bool = False) -> bool:
        """Follow all that is committed by now; gives whether the index has every event that could be read.

        Else it has fallen behind: events are in stored batches that it hasn't seen. With `keep`, how far it has
        followed is made durable even if no event of a session came.

        Raises:
            StateFault: the database can't do it.
        """
        with self._lock:
            # Pinned first: what leaves the tail from here on is in the catalogue.
            for pin in self._tail.pin():
                self._follow(pin)
            if keep and self._logs != self._kept:
                self._add(Told(), self._logs)
            return self._is_level()

    def take(self, told: Told, logs: dict[str, int], gaps: dict[str, str]) -> None:
        """Add what stored batches say, which reach up to these sequences."""
        with self._lock:
            merged = self._logs | {log_id: max(last, self._logs.get(log_id, 0)) for log_id, last in logs.items()}
            self._index.add(self.generation, told, merged, gaps)
            self._kept, self._logs = merged, dict(merged)

    def followed(self, log_id: str) -> int:
        """How far a log is followed."""
        return self._logs.get(log_id, 0)

    def _add(self, told: Told, logs: dict[str, int]) -> None:
        changed = {log_id: last for log_id, last in logs.items() if self._kept.get(log_id) != last}
        self._index.add(self.generation, told, changed)
        self._kept = dict(logs)

    def _is_level(self) -> bool:
        return all(last <= self.followed(log_id) for log_id, last in self._catalogue.confirmed().items())

    def _follow(self, pin: Pinned) -> None:
        """Add what one section says, as much as memory holds of it anyway."""
        log_id = pin.section.log_id
        followed = self.followed(log_id)
        before = self._catalogue.batch_before(log_id, pin.section.first)
        if before is not None and before.last > followed:
            return  # to be counted once what is before it was
        if pin.last > followed:
            logs = self._logs | {log_id: pin.last}
            events = list(_session_events(log_id, [item for item in pin.blocks if item.last > followed]))
            if events:
                self._add(told_by(events), logs)
            self._logs = logs


def told_by(events: Iterable[SessionEvent]) -> Told:
    """What events say."""
    told = Told()
    speakers: dict[Emitter | None, Speaker] = {}
    for event in events:
        try:
            speaker = speakers.get(event.emitter)
            if speaker is None:
                speaker = speakers[event.emitter] = speaker_of(event.emitter)
            claim = claim_of(event)
        except Exception:
            # One event must not hide all others, whatever is in it.
            _log.exception("an event can't be taken into the session index", extra={"fields": {"type": event.type}})
            continue
        told.add(event.session_id, speaker, claim)
        if event.type in END_TYPES and event.log_id:
            told.ends.append(SessionEnd(event.log_id, event.sequence, event.session_id, speaker, event.data))
    return told


def _session_events(log_id: str, blocks: Sequence[TailBlock]) -> Iterator[SessionEvent]:
    """The events of sessions in blocks that are in the order of sequences."""
    emitters: dict[bytes, Emitter] = {}
    # Those that were validated together have one buffer, and are looked through together.
    for _, same in groupby(blocks, lambda item: id(item.block.data)):
        items = list(same)
        data, table = items[0].block.data, rows_of([item.block for item in items])
        rows = _SELECTION.rows(data, table)
        if not len(rows):
            continue
        whose = owners([item.block for item in items]).tolist()
        starts = list(accumulate((len(item.block) for item in items), initial=0))
        for row, event in zip(rows.tolist(), events_of(data, table[rows]), strict=True):
            item = items[whose[row]]
            if event.session_id:
                emitter = emitters.get(item.receipt)
                if emitter is None:
                    emitter = emitters[item.receipt] = decode_emitter(orjson.loads(item.receipt))[0]
                yield SessionEvent(log_id, item.first + row - starts[whose[row]], emitter, *_columns(event))


def _columns(event: Event) -> tuple[str, int, str, str, bytes]:
    return event.type, event.time_ms, event.session_id, event.user, event.data
