"""The run of an export: stored chunks until there are no more, then what is in no chunk yet."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from extaudit_cli.exporting.forms import Encoder, Form
from extaudit_cli.exporting.outputs import Output, Piece
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.state import StateProblem

if TYPE_CHECKING:
    from extaudit_client import EventChunk, ExportSource, ExtauditError, MissingPart, Query, WatchedColumns

_CHECKPOINT_SECONDS: Final = 1.0
_CHECKPOINT_BYTES: Final = 32 * 1024 * 1024
_TAIL_BYTES: Final = 64 * 1024 * 1024
_TAIL_SECONDS: Final = 900.0
_LOSSES: Final = 10
_LOG_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)

Told = Callable[["ExtauditError", float], None]
"""Is told of a lost connection, and after how many seconds it is tried again."""


class Stopped(Exception):
    """The export was asked to stop."""


@dataclass(frozen=True, slots=True)
class _Block:
    data: bytes
    through: int
    events: int = 0
    json_bytes: int = 0
    missing: tuple[MissingPart, ...] = ()


@dataclass
class _Pending:
    """What was appended and not advanced over."""

    place: dict[str, int] = field(default_factory=dict)
    events: int = 0
    json_bytes: int = 0
    missing: dict[MissingPart, None] = field(default_factory=dict)

    def note(self, block: _Block) -> None:
        self.events += block.events
        self.json_bytes += block.json_bytes
        self.missing |= dict.fromkeys(block.missing)


class Export:
    """Exports from where an output is, each event once."""

    def __init__(
        self,
        source: ExportSource,
        query: Query,
        form: Form,
        output: Output,
        progress: Progress,
        *,
        parallel: int,
        lost: Told,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._query = query
        self._form = form
        self._output = output
        self._progress = progress
        self._parallel = parallel
        self._lost = lost
        self._stop = stop
        self._clock = clock
        self._pending = _Pending()
        self._unsaved_bytes = 0
        self._saved = clock()
        self.began = False
        """Whether the service has answered."""

    def run(self, *, follow: bool) -> None:
        """Export all there is, and for ever what comes if it follows.

        Raises:
            ExtauditError: the service refused or failed.
            StateProblem: the service doesn't have what the state says was exported, or names no logs.
            OSError: the output can't be written.
            Stopped: it was asked to.
        """
        self._output.advance(finished=False)
        while self._stored():
            pass
        self._tail(follow=follow)
        self._output.advance(finished=True)
        self._output.checkpoint()

    def _stored(self) -> bool:
        """Export the chunks that there are; whether there were any."""
        from extaudit_client import prefetched
        from extaudit_client.chunks import to_read

        place = self._output.reached.place
        listed = self._source.chunks(self._query, place)
        _check_service(place, listed.missing)
        _check_names(listed.chunks)
        self.began = True
        chunks = to_read(listed.chunks, place)
        self._progress.expect(sum(chunk.last_sequence - _before(chunk, place) for chunk in chunks))
        with closing(prefetched(chunks, lambda chunk: self._read(chunk, place), self._parallel)) as found:
            for chunk, blocks in found:
                self._write(chunk, _before(chunk, place), blocks)
        self._pending.place |= listed.complete_through
        lost = [part for part in listed.missing if part.last_sequence]
        uncounted = tuple(part for part in listed.missing if not part.last_sequence)
        self._pending.missing |= dict.fromkeys(lost)
        self._progress.missing(uncounted)
        self._advance(foreign_objects=listed.foreign_objects, uncounted=uncounted)
        self._output.checkpoint()
        return bool(chunks)

    def _read(self, chunk: EventChunk, place: Mapping[str, int]) -> Iterator[_Block]:
        """The bytes of a chunk's events; runs on a thread of its own."""
        from extaudit_client import ExtauditError, MissingPart
        from extaudit_client.exported_events import LOST

        encoder, through = self._form.encoder(), _before(chunk, place)
        lost: tuple[MissingPart, ...] = ()
        try:
            for events in self._source.export_chunk(chunk, self._query, through):
                data, through = encoder.encode(events), events.through_sequence
                yield _Block(data, events.through_sequence, len(events), len(events.json), events.missing)
        except ExtauditError as error:  # one chunk that is gone stops no other
            if error.code not in LOST:
                raise
            span = through + 1, chunk.last_sequence
            lost = (MissingPart("object_missing", chunk.storage, chunk.log_id, *span, error.message),)
        yield _Block(encoder.finish(), chunk.last_sequence, missing=lost)

    def _write(self, chunk: EventChunk, before: int, blocks: Iterator[_Block]) -> None:
        self._output.begin(Piece(chunk.log_id, before + 1, chunk.last_sequence))
        for block in blocks:
            self._append(block)
            self._pending.place[chunk.log_id] = block.through
            if self._form.appendable:
                self._advance()
                self._checkpoint_if_due()
            self._progress.add(block.through - before, block.events, block.json_bytes)
            before = block.through
            self._check_stop()
        self._advance()
        self._output.end()
        self._note_saved()

    def _tail(self, *, follow: bool) -> None:
        """Export what comes after the chunks, until all is exported or for ever."""
        told = self._lost if follow else _Patience(self._lost)
        with closing(self._source.watch_columns(self._query, self._output.reached.place, told)) as answers:
            self._write_tail(answers, follow=follow)

    def _write_tail(self, answers: Iterable[WatchedColumns], *, follow: bool) -> None:
        tail = _Tail(self._form.encoder(), self._clock())
        self._output.begin(Piece())
        for answer in answers:
            for events in answer.events:
                data = tail.encoder.encode(events)
                tail.bytes += len(events.json)
                self._append(_Block(data, 0, len(events), len(events.json), events.missing))
                self._pending.place[events.log_id] = events.through_sequence
                if self._form.appendable:
                    self._advance()  # the next ones of this answer may not come, and stdout can't be cut back
                self._progress.add(0, len(events), len(events.json))
            self._pending.place |= answer.place
            self._pending.missing |= dict.fromkeys(answer.missing)
            if self._form.appendable:
                self._advance()
                self._checkpoint_if_due(now=answer.caught_up)
            if answer.caught_up and not follow:
                break
            if tail.bytes >= _TAIL_BYTES or (tail.bytes and self._clock() - tail.began >= _TAIL_SECONDS):
                self._end_tail(tail)
                tail = _Tail(self._form.encoder(), self._clock())
                self._output.begin(Piece())
            if answer.caught_up:
                self._progress.caught_up()
            self._check_stop()
        self._end_tail(tail)

    def _end_tail(self, tail: _Tail) -> None:
        self._append(_Block(tail.encoder.finish(), 0))
        self._advance()
        self._output.end()
        self._note_saved()

    def _append(self, block: _Block) -> None:
        self._output.append(block.data)
        self._unsaved_bytes += len(block.data)
        self._pending.note(block)

    def _advance(self, **changes: object) -> None:
        """Hand what is pending to the output; from then on it is part of what is reached."""
        pending, reached = self._pending, self._output.reached
        self._pending = _Pending()
        self._output.advance(
            place=_furthest(reached.place, pending.place),
            events=reached.events + pending.events,
            json_bytes=reached.json_bytes + pending.json_bytes,
            missing=tuple(dict.fromkeys([*reached.missing, *pending.missing])),
            **changes,
        )
        self._progress.missing(pending.missing)

    def _checkpoint_if_due(self, *, now: bool = False) -> None:
        due = self._unsaved_bytes >= _CHECKPOINT_BYTES or self._clock() - self._saved >= _CHECKPOINT_SECONDS
        if now or due:
            self._output.checkpoint()
            self._note_saved()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _note_saved(self) -> None:
        self._unsaved_bytes, self._saved = 0, self._clock()


@dataclass
class _Tail:
    """One file of what is in no chunk."""

    encoder: Encoder
    began: float
    bytes: int = 0


@dataclass
class _Patience:
    """Is told of lost connections, and gives up after some: who doesn't follow waits for an end."""

    lost: Told
    left: int = _LOSSES

    def __call__(self, error: ExtauditError, seconds: float) -> None:
        if not self.left:
            raise error
        self.left -= 1
        self.lost(error, seconds)


def _check_service(place: Mapping[str, int], missing: Iterable[MissingPart]) -> None:
    """Take nothing from a service that doesn't have what was exported before: neither its events nor names of its logs.

    Raises:
        StateProblem: it is such a one.
    """
    for part in missing:
        if part.reason == "journal_hole" and 0 < part.last_sequence <= place.get(part.name, 0):
            raise StateProblem(
                f"the service has no events {part.first_sequence} to {part.last_sequence} of log {part.name}, which "
                "this export has taken: it is another service, or one put back to an earlier time; nothing is changed"
            )


def _check_names(chunks: Iterable[EventChunk]) -> None:
    """Take no name from a service that isn't a log's: files are named for logs, and must stay in their folder.

    Raises:
        StateProblem: there is such a one.
    """
    if any(_LOG_NAME.fullmatch(chunk.log_id) is None for chunk in chunks):
        raise StateProblem("the service gives a log a name that no log has; nothing of it is written")


def _before(chunk: EventChunk, place: Mapping[str, int]) -> int:
    """The sequence after which a chunk's events are still to be written."""
    return max(chunk.first_sequence - 1, place.get(chunk.log_id, 0))


def _furthest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {log_id: max(one.get(log_id, 0), other.get(log_id, 0)) for log_id in {**one, **other}}
