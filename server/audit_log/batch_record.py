"""Batch records: the JSON beside a batch that names its range, objects and digests, and the receipt of every event."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from server.audit_log.cuts import Cut
from server.audit_log.receipts import Emitter, Receipt, decode_emitter
from server.audit_log.tail import TailBlock, TailRow

FORMAT = 1


class NewerRecord(ValueError):
    """A batch record whose format this version doesn't know."""


@dataclass(frozen=True, slots=True)
class BatchObject:
    """One Parquet object of a batch: the events of one UTC date."""

    name: str
    """`<YYYY-MM-DD>/<stem>.parquet`."""
    rows: int
    bytes: int
    sha256: str
    first_ms: int
    last_ms: int
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What is known of one batch. `receipts` is kept as decoded JSON; ReceiptTable reads it."""

    log_id: str
    first: int
    last: int
    storage: str
    previous: str
    """SHA-256 of the record before it of its log in its storage, lower-case hex; '' for the first. What was diverted
    from one storage is a chain of its own."""
    objects: tuple[BatchObject, ...]
    holes: tuple[tuple[int, int], ...]
    """Sequences inside first..last that were lost to damage."""
    receipts: Mapping[str, Any]
    diverted_from: str = ""
    """The storage that it was taken out of, undelivered; '' for all that is where it was acknowledged."""
    proof: str = ""
    """What RecordProofs gives it, lower-case hex; '' before that, and in records of versions that gave none."""

    @property
    def cut(self) -> Cut:
        """The cut it records."""
        return Cut(self.log_id, self.first, self.last, self.storage, self.diverted_from)

    def renamed(self, index: int, name: str) -> BatchRecord:
        """The same record with another name for one of its objects."""
        objects = list(self.objects)
        objects[index] = replace(objects[index], name=name)
        return replace(self, objects=tuple(objects))

    def encode(self) -> bytes:
        """As it is stored."""
        members: dict[str, object] = {
            "format": FORMAT,
            "log_id": self.log_id,
            "first": self.first,
            "last": self.last,
            "storage": self.storage,
            "previous": self.previous,
            "holes": self.holes,
            "objects": [asdict(item) for item in self.objects],
            "receipts": self.receipts,
        }
        if self.diverted_from:
            members["diverted_from"] = self.diverted_from
        if self.proof:
            members["proof"] = self.proof
        return orjson.dumps(members)

    @staticmethod
    def decode(data: bytes) -> BatchRecord:
        """From its stored form.

        Raises:
            NewerRecord: a later version wrote it.
            ValueError: it isn't one.
        """
        try:
            members = orjson.loads(data)
            if _number(members["format"]) > FORMAT:
                raise NewerRecord(f"a batch record has format {members['format']}")
            objects = tuple(_object(item) for item in members["objects"])
            if len({item.name for item in objects}) < len(objects) or not isinstance(members["receipts"], dict):
                raise ValueError("not a batch record")
            return BatchRecord(
                _text(members["log_id"]),
                _number(members["first"]),
                _number(members["last"]),
                _text(members["storage"]),
                _text(members["previous"]),
                objects,
                tuple((_number(first), _number(last)) for first, last in members["holes"]),
                members["receipts"],
                _text(members.get("diverted_from", "")),
                _text(members.get("proof", "")),
            )
        except NewerRecord:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError("not a batch record") from error


def _object(item: dict[str, Any]) -> BatchObject:
    return BatchObject(
        _text(item["name"]),
        _number(item["rows"]),
        _number(item["bytes"]),
        _text(item["sha256"]),
        _number(item["first_ms"]),
        _number(item["last_ms"]),
        tuple(_text(name) for name in item["types"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: object) -> int:
    """A whole number that the state's columns can hold."""
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise TypeError("not a number of 64 bits")
    return value


def record_digest(data: bytes) -> str:
    """SHA-256 of a stored record, as the next one names it."""
    return hashlib.sha256(data).hexdigest()


def gaps(ranges: Sequence[tuple[int, int]], first: int, last: int) -> tuple[tuple[int, int], ...]:
    """The ranges of first..last that are in none of `ranges` (ascending)."""
    found: list[tuple[int, int]] = []
    expected = first
    for start, end in (*ranges, (last + 1, last + 1)):
        if start > expected:
            found.append((expected, start - 1))
        expected = end + 1
    return tuple(found)


def encode_receipts(blocks: Sequence[TailBlock]) -> dict[str, Any]:
    """Receipts in runs: events that follow each other with the same emitter and time share one.

    `emitters` lists the distinct emitters with peers; `runs` lists (first sequence, index of the emitter, received ms).
    """
    numbers: dict[bytes, int] = {}
    runs: list[tuple[int, int, int]] = []
    before: tuple[bytes, int] | None = None
    for item in blocks:
        if (item.receipt, item.received_ms) != before:
            before = (item.receipt, item.received_ms)
            runs.append((item.first, numbers.setdefault(item.receipt, len(numbers)), item.received_ms))
    return {"emitters": [orjson.loads(receipt) for receipt in numbers], "runs": runs}


class ReceiptTable:
    """The receipts of one batch, compact, looked up by sequence."""

    def __init__(self, record: BatchRecord) -> None:
        self._storage = record.storage
        self._log_id = record.log_id
        self._emitters = [decode_emitter(row) for row in record.receipts["emitters"]]
        runs = record.receipts["runs"]
        self._firsts = array("q", (run[0] for run in runs))
        self._numbers = array("q", (run[1] for run in runs))
        self._received = array("q", (run[2] for run in runs))
        if any(not 0 <= number < len(self._emitters) for number in self._numbers):
            raise ValueError("a run of receipts names no emitter")

    @property
    def emitters(self) -> Sequence[tuple[Emitter, str]]:
        """The distinct emitters with the addresses they called from; `lookup` gives indexes in it."""
        return self._emitters

    @property
    def latest_received_ms(self) -> int:
        """When the event that came in last was received, whatever its sequence; 0 without receipts."""
        return max(self._received, default=0)

    def lookup(self, sequences: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each sequence the index of its emitter, -1 where the record has no receipt, and its time in ms, or 0."""
        if not len(self._firsts):
            return np.full(len(sequences), -1), np.zeros(len(sequences), np.int64)
        runs = np.searchsorted(np.frombuffer(self._firsts, np.int64), sequences, side="right") - 1
        found = runs >= 0
        numbers = np.frombuffer(self._numbers, np.int64)[runs]
        received = np.frombuffer(self._received, np.int64)[runs]
        return np.where(found, numbers, -1), np.where(found, received, 0)

    def first_received_from(self, received_ms: int) -> int | None:
        """The first sequence that was received at this time or later; None if none was."""
        return next((first for first, ms in zip(self._firsts, self._received, strict=True) if ms >= received_ms), None)

    def emitter(self, sequence: int) -> Emitter:
        """Who emitted the event.

        Raises:
            LookupError: the record has no receipt of it.
        """
        return self._emitters[self._numbers[self._run(sequence)]][0]

    def receipt(self, sequence: int) -> Receipt:
        """The receipt of the event.

        Raises:
            LookupError: the record has none of it.
        """
        run = self._run(sequence)
        emitter, peer = self._emitters[self._numbers[run]]
        return Receipt(self._storage, self._log_id, sequence, emitter, peer, self._received[run])

    def _run(self, sequence: int) -> int:
        run = bisect_right(self._firsts, sequence) - 1
        if run < 0:
            raise LookupError("the record has no receipt of this sequence")
        return run


def tail_receipt(row: TailRow, storage: str, log_id: str) -> Receipt:
    """The receipt of an event that is still in the tail."""
    emitter, peer = decode_emitter(orjson.loads(row.receipt))
    return Receipt(storage, log_id, row.sequence, emitter, peer, row.received_ms)
