"""What an emitter has done so far, and whom it tells."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from extaudit_client.emitting import Acknowledgement
from extaudit_client.errors import ExtauditError
from extaudit_client.event_uid import with_uid
from extaudit_client.spool.dead_letters import DeadLetters, RefusedEvent
from extaudit_client.spool.reading import Batch
from extaudit_client.spool.spool import Spool

_LOG: Final = logging.getLogger("extaudit_client.emitter")
_SAY_AGAIN_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why events aren't sent now; they stay in the spool and are tried again after `delay` seconds."""

    error: ExtauditError | OSError
    failures: int
    """In a row."""
    delay: float


@dataclass(frozen=True, slots=True)
class EmitterStats:
    """How an emitter is. Counts are of this emitter's life; `queued` and `bytes` are of the spool as it is now."""

    queued: int = 0
    bytes: int = 0
    oldest_age: float = 0.0
    """Seconds since the oldest event in the spool was emitted; 0 where there is none."""
    sent: int = 0
    """Acknowledged as durable, repeated ones included."""
    repeated: int = 0
    """Of these, acknowledged before, by a try of which no answer came."""
    uid_reused: int = 0
    """Of these, with a uid that the service knows with other bytes; stored all the same."""
    refused: int = 0
    """Put into the file of refused events."""
    lost: int = 0
    """Events that damage of the spool's files made unreadable; the files are kept."""
    cut_bytes: int = 0
    """Bytes of an unfinished event that a crash had left at the spool's end."""
    trouble: Trouble | None = None
    """Why events aren't sent now; None when they are."""


class EmitterState:
    """Settles what was answered; the callbacks are called on the emitter's own thread and may fail without harm."""

    def __init__(
        self,
        spool: Spool,
        letters: DeadLetters,
        on_refused: Callable[[RefusedEvent], None] | None,
        on_trouble: Callable[[Trouble], None] | None,
    ) -> None:
        self._spool = spool
        self._letters = letters
        self._on_refused = on_refused
        self._on_trouble = on_trouble
        self._lock = threading.Lock()
        self._stats = EmitterStats()
        self._said: tuple[str, float] = ("", 0.0)
        if cut := spool.fill().cut_bytes:
            _LOG.warning("%d bytes at the end of the spool are no whole event and were cut off", cut)

    @property
    def stats(self) -> EmitterStats:
        """The counts."""
        with self._lock:
            return self._stats

    def acknowledged(self, batch: Batch, answer: Acknowledgement | None) -> None:
        """Keep what was refused, then settle the batch."""
        refused = [] if answer is None else _refused(batch, answer)
        lost = sum(last - first + 1 for first, last in batch.lost)
        if refused:
            self._letters.add(refused)
        with self._lock:  # whoever flushes and asks for the counts then finds these in them
            self._spool.settle(batch.through)
            now = self._stats
            self._stats = replace(
                now,
                sent=now.sent + len(batch.entries) - len(refused),
                repeated=now.repeated + (len(answer.repeated) if answer else 0),
                uid_reused=now.uid_reused + (len(answer.uid_reused) if answer else 0),
                refused=now.refused + len(refused),
                lost=now.lost + lost,
                trouble=None if answer else now.trouble,
            )
        if lost:
            _LOG.error("events %s of the spool can't be read: its files are damaged, and kept", batch.lost)
        for each in refused:
            _LOG.error("the service refused event %s: %s", each.uid, _reasons(each))
            _tell(self._on_refused, each)

    def troubled(self, trouble: Trouble) -> None:
        """Nothing can be sent now."""
        with self._lock:
            self._stats = replace(self._stats, trouble=trouble)
        said, when = self._said
        now, text = time.monotonic(), str(trouble.error)
        if text != said or now - when > _SAY_AGAIN_SECONDS:
            self._said = text, now
            _LOG.warning("events wait in the spool, tried again in %.1f s: %s", trouble.delay, text)
        _tell(self._on_trouble, trouble)


def log_left(count: int) -> None:
    """Say how many events an emitter that is closed leaves in its spool, on the thread of whoever closed it."""
    if count:
        _LOG.warning("%d events stay in the spool, until an emitter opens it again", count)


def _refused(batch: Batch, answer: Acknowledgement) -> list[RefusedEvent]:
    events = [batch.entries[refusal.index - answer.first_index].event for refusal in answer.refused]
    return [
        RefusedEvent(with_uid(event)[0], event, refusal.violations)
        for event, refusal in zip(events, answer.refused, strict=True)
    ]


def _reasons(refused: RefusedEvent) -> str:
    return "; ".join(f"{each.field}: {each.description}" for each in refused.violations)


def _tell(listener: Callable[..., None] | None, what: object) -> None:
    if listener is not None:
        try:
            listener(what)
        except Exception:  # what a caller's own code does wrong must not end the sending
            _LOG.exception("a callback of the emitter failed")
