"""The Parquet form of a batch: Teleport's six columns, and in the footer which sequence each row has."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DAY_MS = 86_400_000
ROW_GROUP_ROWS = 8192
COMPRESSION_LEVEL = 1

SCHEMA = pa.schema(
    [
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("user", pa.string(), nullable=False),
        pa.field("event_data", pa.string(), nullable=False),
    ]
)

# Smallest and largest values go into the footer, so there are none of event_data: they would be whole events.
_STATISTICS = ["event_type", "event_time", "uid", "session_id", "user"]
_DICTIONARY = ["event_type", "session_id", "user"]


class UnreadableFooter(Exception):
    """The file has no footer of ours, or a damaged one."""


class BatchRow(NamedTuple):
    """One event as it goes into a batch. `time_ms` is ms since 1970, UTC; `digest` is the SHA-256 of `data` in hex."""

    sequence: int
    time_ms: int
    type: str
    uid: str
    session_id: str
    user: str
    data: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class EncodedObject:
    """What `encode` wrote: number of rows, size in bytes, SHA-256 in hex, first and last time in ms, types sorted."""

    rows: int
    bytes: int
    sha256: str
    first_ms: int
    last_ms: int
    types: tuple[str, ...]


def encode(
    rows: Sequence[BatchRow], target: str | os.PathLike[str] | BinaryIO, *, log_id: str, first: int, last: int
) -> EncodedObject:
    """Write one Parquet object, its rows ordered by (time, uid, digest).

    `first` and `last` are the range of the whole batch, of which the rows are those of one UTC date. The same rows
    give the same bytes. Syncing the target is the caller's part.

    Raises:
        ValueError: no rows, rows of several dates, a sequence outside the range, or a text that isn't UTF-8.
    """
    ordered = sorted(rows, key=lambda row: (row.time_ms, row.uid, row.digest, row.sequence))
    _check(ordered, first, last)
    body = _parquet(ordered, _footer([row.sequence for row in ordered], log_id=log_id, first=first, last=last))
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(body)
    else:
        target.write(body)
    return EncodedObject(
        rows=len(ordered),
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        first_ms=ordered[0].time_ms,
        last_ms=ordered[-1].time_ms,
        types=tuple(sorted({row.type for row in ordered})),
    )


def read_sequences(path: str | os.PathLike[str]) -> Sequence[int]:
    """The sequence of each row of an object that `encode` wrote, in row order; reads the footer only.

    Raises:
        UnreadableFooter: the file isn't there, isn't Parquet, or wasn't written by `encode`.
    """
    try:
        metadata = pq.read_metadata(path)
        pairs = metadata.metadata or {}
        first, last = int(pairs[b"first"]), int(pairs[b"last"])
        packed = base64.b64decode(pairs[b"sequences"], validate=True)
        inflater = zlib.decompressobj()
        raw = inflater.decompress(packed, 4 * metadata.num_rows + 1)
        sequences = list(accumulate(struct.unpack(f"<{metadata.num_rows}i", raw), initial=first))[1:]
    except (OSError, pa.ArrowException, KeyError, ValueError, zlib.error, struct.error) as error:
        raise UnreadableFooter("the object's footer doesn't tell its sequences") from error
    if any(not first <= sequence <= last for sequence in sequences):
        raise UnreadableFooter("a sequence in the object's footer is outside the batch's range")
    return sequences


def _check(ordered: list[BatchRow], first: int, last: int) -> None:
    if not ordered:
        raise ValueError("an object needs at least one row")
    if ordered[0].time_ms // DAY_MS != ordered[-1].time_ms // DAY_MS:
        raise ValueError("the rows of one object must be of one date")
    if any(not first <= row.sequence <= last for row in ordered):
        raise ValueError("a row's sequence is outside the batch's range")


def _footer(sequences: list[int], *, log_id: str, first: int, last: int) -> dict[str, str]:
    # Events come nearly in order of time, so the steps between neighbours are small and shrink well.
    steps = [after - before for before, after in pairwise([first, *sequences])]
    packed = zlib.compress(struct.pack(f"<{len(steps)}i", *steps))
    return {"log_id": log_id, "first": str(first), "last": str(last), "sequences": base64.b64encode(packed).decode()}


def _parquet(ordered: list[BatchRow], footer: dict[str, str]) -> pa.Buffer:
    columns = [
        [row.type for row in ordered],
        [row.time_ms for row in ordered],
        [row.uid for row in ordered],
        [row.session_id for row in ordered],
        [row.user for row in ordered],
        [row.data for row in ordered],
    ]
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY,
        write_statistics=_STATISTICS,
        # Looking for one uid then reads no object that doesn't have it; its smallest and largest value never tell.
        bloom_filter_options={"uid": {"ndv": min(len(ordered), ROW_GROUP_ROWS), "fpp": 0.01}},
        store_schema=False,
    ) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), row_group_size=ROW_GROUP_ROWS)
        writer.add_key_value_metadata(footer)
    return sink.getvalue()


@dataclass(frozen=True, slots=True)
class Footer:
    """What the footer of any Parquet object tells: rows, bounds of its times in ms, and what of it can't be used."""

    rows: int
    first_ms: int
    last_ms: int
    problem: str
    """In our own words; '' if nothing."""


def read_footer(path: str | os.PathLike[str]) -> Footer:
    """Read the footer of an object that others may have written. Bounds that it lacks are read from the times.

    Raises:
        UnreadableFooter: it isn't Parquet, or lacks one of the six columns.
    """
    try:
        metadata = pq.read_metadata(path)
        names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
        columns = {name: names.index(name) for name in SCHEMA.names}
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        times = [group.column(columns["event_time"]).statistics for group in groups]
        nulls = sum(
            statistics.null_count or 0
            for group in groups
            for name in ("event_time", "uid", "event_data")
            if (statistics := group.column(columns[name]).statistics) is not None and statistics.has_null_count
        )
        bounds = [_bounds_ms(statistics) for statistics in times]
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UnreadableFooter("the object isn't Parquet with the six columns") from error
    problem = f"{nulls} values of time, uid or JSON are missing" if nulls else ""
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        known = _read_bounds(path)
    if not known:
        return Footer(metadata.num_rows, 0, 0, problem)
    return Footer(metadata.num_rows, min(first for first, _ in known), max(last for _, last in known), problem)


def _read_bounds(path: str | os.PathLike[str]) -> list[tuple[int, int]]:
    """The bounds of an object whose footer doesn't tell them, from its times; [] if it has none."""
    try:
        times = pc.min_max(pq.read_table(path, columns=["event_time"]).column(0))
        first, last = times["min"].as_py(), times["max"].as_py()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UnreadableFooter("the object's times can't be read") from error
    return [(_ms(first), _ms(last))] if isinstance(first, datetime) and isinstance(last, datetime) else []


def _bounds_ms(statistics: pq.Statistics | None) -> tuple[int, int] | None:
    if statistics is None or not statistics.has_min_max:
        return None
    first, last = statistics.min, statistics.max
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return _ms(first), _ms(last)


def _ms(moment: datetime) -> int:
    utc = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
