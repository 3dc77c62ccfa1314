"""Events column by column, as exports give them."""

from __future__ import annotations

import io
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extaudit.v1 import event_export_pb2 as pb

from extaudit_client.errors import ExtauditError
from extaudit_client.rows import EventRow, Identity, identity_from
from extaudit_client.searches import MissingPart, missing_from

LOST: Final = frozenset({"NOT_FOUND", "DATA_LOSS"})
"""Codes of errors which say that something is gone, so that the rest can be gone on with."""
_NOTHING: Final = slice(0, 0)

Fetch = Callable[[str, str, int], bytes]
"""Gives the JSON of the event of a storage, a log and a sequence."""


@dataclass(frozen=True, slots=True)
class EmitterAtPeer:
    """Who emitted, and the address it called from."""

    emitter: Identity
    peer: str


@dataclass(frozen=True, slots=True)
class ExportedEvents:
    """Events of one log in the order of sequences: entry n of each column belongs to the nth.

    `json` is their stored JSON, byte for byte, one right after the other; `json_sizes` says how many bytes each has.
    Times are in milliseconds since 1970, UTC; `received_ms` is 0, and `emitter_numbers` too, where the receipt can't be
    read; else the emitter is `emitters[number - 1]`. `through_sequence` is how far the log is done with when these
    events are, those that the filter leaves out included. `missing` is what couldn't be given before that place.
    """

    storage: str
    log_id: str
    sequences: Sequence[int]
    times_ms: Sequence[int]
    types: Sequence[str]
    uids: Sequence[str]
    session_ids: Sequence[str]
    users: Sequence[str]
    json: bytes
    json_sizes: Sequence[int]
    emitters: tuple[EmitterAtPeer, ...]
    emitter_numbers: Sequence[int]
    received_ms: Sequence[int]
    through_sequence: int
    missing: tuple[MissingPart, ...] = ()

    def __len__(self) -> int:
        return len(self.sequences)

    def payloads(self) -> Iterator[bytes]:
        """The JSON of each event."""
        return map(io.BytesIO(self.json).read, self.json_sizes)

    def emitter(self, index: int) -> EmitterAtPeer | None:
        """Who emitted an event; None where its receipt can't be read."""
        number = self.emitter_numbers[index]
        return self.emitters[number - 1] if number else None


def events_from(answer: pb.ExportEventsResponse, after: int, fetch: Fetch) -> Iterator[ExportedEvents]:
    """Read an answer of the events after a sequence; an event that is too large for an answer comes by itself.

    Raises:
        ExtauditError: the answer contradicts itself, or an event can't be fetched for another reason than that it is
            gone; such a one is named as missing.
    """
    columns = answer.columns
    _check(columns, after, answer.through_sequence)
    emitters = tuple(EmitterAtPeer(identity_from(each.emitter), each.peer) for each in columns.emitters)
    missing = tuple(map(missing_from, answer.missing))
    large = [index for index, size in enumerate(columns.json_sizes) if not size]
    if not large:  # one piece, without copies
        yield _piece(columns, slice(None), columns.json, columns.json_sizes, emitters, answer.through_sequence, missing)
        return
    start, at = 0, 0
    for index in [*large, len(columns.sequences)]:
        if index > start:
            sizes = columns.json_sizes[start:index]
            json = columns.json[at : at + sum(sizes)]
            yield _piece(columns, slice(start, index), json, sizes, emitters, columns.sequences[index - 1], ())
            at += len(json)
        if index < len(columns.sequences):
            yield _by_itself(columns, index, emitters, fetch)
            start = index + 1
    yield _piece(columns, _NOTHING, b"", [], emitters, answer.through_sequence, missing)


def _by_itself(
    columns: pb.EventColumns, index: int, emitters: tuple[EmitterAtPeer, ...], fetch: Fetch
) -> ExportedEvents:
    """An event that is too large for an answer; one that is gone is named as missing, and holds up no other."""
    sequence = columns.sequences[index]
    json = _fetched(fetch, columns.storage, columns.log_id, sequence)
    if isinstance(json, MissingPart):
        return _piece(columns, _NOTHING, b"", [], emitters, sequence, (json,))
    return _piece(columns, slice(index, index + 1), json, [len(json)], emitters, sequence, ())


def _fetched(fetch: Fetch, storage: str, log_id: str, sequence: int) -> bytes | MissingPart:
    """The JSON of a large event, or what says that it is gone.

    Raises:
        ExtauditError: it can't be fetched for another reason.
    """
    try:
        return fetch(storage, log_id, sequence)
    except ExtauditError as error:
        if error.code not in LOST:
            raise
        return MissingPart("object_missing", storage, log_id, sequence, sequence, error.message)


def events_of_rows(rows: Sequence[EventRow], fetch: Fetch) -> Iterator[ExportedEvents]:
    """Put rows of watching into columns; each has one receipt. A new log begins anew, and so does a large event.

    Raises:
        ExtauditError: a row has no place in a log, or an event can't be fetched for another reason than that it is
            gone; such a one is named as missing.
    """
    run: list[EventRow] = []
    for row in rows:
        if not row.receipts or not row.receipts[0].log_id:
            raise ExtauditError("INTERNAL", "", "the service gave an event without its place in a log")
        if run and (_place(run[-1]) != _place(row) or run[-1].payload_omitted or row.payload_omitted):
            yield _columns(run, fetch)
            run = []
        run.append(row)
    if run:
        yield _columns(run, fetch)


def _place(row: EventRow) -> tuple[str, str]:
    return row.receipts[0].storage, row.receipts[0].log_id


def _columns(rows: list[EventRow], fetch: Fetch) -> ExportedEvents:
    """Rows of one log; a large one comes by itself."""
    (storage, log_id), receipts = _place(rows[0]), [row.receipts[0] for row in rows]
    through, payloads = receipts[-1].sequence, [row.json for row in rows]
    missing: tuple[MissingPart, ...] = ()
    if rows[0].payload_omitted:
        json = _fetched(fetch, storage, log_id, through)
        if isinstance(json, MissingPart):
            rows, receipts, payloads, missing = [], [], [], (json,)
        else:
            payloads = [json]
    found = [EmitterAtPeer(each.emitter, each.peer) if each.emitter else None for each in receipts]
    emitters = tuple(dict.fromkeys(each for each in found if each is not None))
    numbers = {each: number for number, each in enumerate(emitters, 1)}
    return ExportedEvents(
        storage,
        log_id,
        sequences=[each.sequence for each in receipts],
        times_ms=[round(row.time.timestamp() * 1000) for row in rows],
        types=[row.type for row in rows],
        uids=[row.uid for row in rows],
        session_ids=[row.session_id for row in rows],
        users=[row.user for row in rows],
        json=b"".join(payloads),
        json_sizes=list(map(len, payloads)),
        emitters=emitters,
        emitter_numbers=[numbers[each] if each else 0 for each in found],
        received_ms=[round(r.received_time.timestamp() * 1000) if r.received_time else 0 for r in receipts],
        through_sequence=through,
        missing=missing,
    )


def _piece(
    columns: pb.EventColumns,
    span: slice,
    json: bytes,
    json_sizes: Sequence[int],
    emitters: tuple[EmitterAtPeer, ...],
    through: int,
    missing: tuple[MissingPart, ...],
) -> ExportedEvents:
    return ExportedEvents(
        columns.storage,
        columns.log_id,
        columns.sequences[span],
        columns.times_ms[span],
        columns.types[span],
        columns.uids[span],
        columns.session_ids[span],
        columns.users[span],
        json,
        json_sizes,
        emitters,
        columns.emitter_numbers[span],
        columns.received_times_ms[span],
        through,
        missing,
    )


def _check(columns: pb.EventColumns, after: int, through: int) -> None:
    """An export is evidence, so columns that don't fit each other must not be written as if they did."""
    sequences = columns.sequences
    others = (
        columns.times_ms,
        columns.types,
        columns.uids,
        columns.session_ids,
        columns.users,
        columns.json_sizes,
        columns.emitter_numbers,
        columns.received_times_ms,
    )
    whole = (
        all(len(each) == len(sequences) for each in others)
        and sum(columns.json_sizes) == len(columns.json)
        and max(columns.emitter_numbers, default=0) <= len(columns.emitters)
        and through >= after
        and (not sequences or after < sequences[0] <= sequences[-1] <= through)
        and all(map(operator.lt, sequences, sequences[1:]))
    )
    if not whole:
        raise ExtauditError("INTERNAL", "", "the service gave columns of events that contradict each other")
