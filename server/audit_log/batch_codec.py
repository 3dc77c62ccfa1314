"""The Parquet form of a batch: Teleport's six columns, and in the footer which sequence each row has."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from server.audit_log.parquet_pages import (
    MOST_UNPACKED_BYTES,
    TOO_MUCH,
    PagesRefused,
    Unpacked,
    check_pages,
    check_total,
)
from server.storage.query import MOST_UID_BYTES

DAY_MS = 86_400_000
ROW_GROUP_ROWS = 8192
MOST_FOREIGN_ROWS = 20_000_000
"""Of an object that others made: a thousand times as many as a batch has."""
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


NOT_EVENTS = "can't be read as Parquet with the six columns"


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


@dataclass(frozen=True, slots=True)
class BatchColumns:
    """The rows of one object in order: sequences and times as numbers of 64 bits, the five texts as Arrow has them."""

    sequences: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    types: pa.Array
    uids: pa.Array
    session_ids: pa.Array
    users: pa.Array
    data: pa.Array


def columns_of(rows: Sequence[BatchRow]) -> BatchColumns:
    """The columns of rows, put into the order of searches: (time, uid, digest)."""
    ordered = sorted(rows, key=lambda row: (row.time_ms, row.uid, row.digest, row.sequence))

    def texts(values: list[str] | list[bytes]) -> pa.Array:
        return pa.array(values, type=pa.string())

    return BatchColumns(
        np.array([row.sequence for row in ordered], np.int64),
        np.array([row.time_ms for row in ordered], np.int64),
        texts([row.type for row in ordered]),
        texts([row.uid for row in ordered]),
        texts([row.session_id for row in ordered]),
        texts([row.user for row in ordered]),
        texts([row.data for row in ordered]),
    )


def encode(
    columns: BatchColumns, target: str | os.PathLike[str] | BinaryIO, *, log_id: str, first: int, last: int
) -> EncodedObject:
    """Write one Parquet object.

    `first` and `last` are the range of the whole batch, of which the rows are those of one UTC date. The same columns
    give the same bytes. Syncing the target is the caller's part.

    Raises:
        ValueError: no rows, rows of several dates or out of order, or a sequence outside the range.
    """
    _check(columns, first, last)
    body = _parquet(columns, _footer(columns.sequences, log_id=log_id, first=first, last=last))
    if isinstance(target, str | os.PathLike):
        Path(target).write_bytes(body)
    else:
        target.write(body)
    return EncodedObject(
        rows=len(columns.sequences),
        bytes=len(body),
        sha256=hashlib.sha256(body).hexdigest(),
        first_ms=int(columns.times_ms[0]),
        last_ms=int(columns.times_ms[-1]),
        types=tuple(sorted(pc.unique(columns.types).to_pylist())),
    )


def read_sequences(path: str | os.PathLike[str]) -> Sequence[int]:
    """The sequence of each row of an object that `encode` wrote, in row order; reads the footer only.

    Raises:
        UnreadableFooter: the file isn't there, isn't Parquet, or wasn't written by `encode`.
    """
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowException, ValueError) as error:
        raise UnreadableFooter("the object's footer can't be read") from error
    sequences: list[int] = sequences_in(metadata).tolist()
    return sequences


def sequences_in(metadata: pq.FileMetaData) -> NDArray[np.int64]:
    """The sequence of each row, in row order.

    Raises:
        UnreadableFooter: it isn't the footer of an object that `encode` wrote.
    """
    try:
        pairs = metadata.metadata or {}
        first, last = int(pairs[b"first"]), int(pairs[b"last"])
        packed = base64.b64decode(pairs[b"sequences"], validate=True)
        raw = zlib.decompressobj().decompress(packed, 4 * metadata.num_rows + 1)
        if len(raw) != 4 * metadata.num_rows:
            raise ValueError("another number of sequences than of rows")
        sequences = np.cumsum(np.frombuffer(raw, "<i4"), dtype=np.int64) + first
    except (KeyError, ValueError, OverflowError, zlib.error) as error:
        raise UnreadableFooter("the object's footer doesn't tell its sequences") from error
    if len(sequences) and not first <= sequences.min() <= sequences.max() <= last:
        raise UnreadableFooter("a sequence in the object's footer is outside the batch's range")
    return sequences


def _check(columns: BatchColumns, first: int, last: int) -> None:
    times, sequences = columns.times_ms, columns.sequences
    if not len(times):
        raise ValueError("an object needs at least one row")
    if times[0] // DAY_MS != times[-1] // DAY_MS:
        raise ValueError("the rows of one object must be of one date")
    if (np.diff(times) < 0).any():
        raise ValueError("the rows must be in order of time")
    if sequences.min() < first or sequences.max() > last:
        raise ValueError("a row's sequence is outside the batch's range")


def _footer(sequences: NDArray[np.int64], *, log_id: str, first: int, last: int) -> dict[str, str]:
    # Events come nearly in order of time, so the steps between neighbours are small and shrink well.
    packed = zlib.compress(np.diff(sequences, prepend=first).astype("<i4").tobytes())
    return {"log_id": log_id, "first": str(first), "last": str(last), "sequences": base64.b64encode(packed).decode()}


def _parquet(columns: BatchColumns, footer: dict[str, str]) -> pa.Buffer:
    times = pa.array(columns.times_ms, type=pa.int64()).cast(SCHEMA.field("event_time").type)
    arrays = [columns.types, times, columns.uids, columns.session_ids, columns.users, columns.data]
    rows = len(columns.sequences)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY,
        write_statistics=_STATISTICS,
        # Looking for one uid then reads no object that doesn't have it; its smallest and largest value never tell.
        bloom_filter_options={"uid": {"ndv": min(rows, ROW_GROUP_ROWS), "fpp": 0.01}},
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


_Path: TypeAlias = str | os.PathLike[str]
_UNBOUNDED = (-(2**62), 2**62)
_LATEST_MS = 253_402_300_799_999
_TEXTS = ["event_type", "uid", "session_id", "user", "event_data"]
_PIECE_ROWS, _PIECE_BYTES = 65_536, 256 * 1024 * 1024
_STEP_BYTES = 256 * 1024
"""What a piece takes beside its dictionary, as copied bytes."""
_MOST_WORK_BYTES = 32 * 1024 * 1024 * 1024
"""Of the pieces of a column; some ten seconds."""
_NEEDED = ("event_time", "uid", "event_data")
_FAULTS = (OSError, pa.ArrowException, ValueError, OverflowError, TypeError, RuntimeError)
"""All that pyarrow raises over bytes that others wrote."""


def read_footer(path: _Path) -> Footer:
    """Read the footer of an object that others may have written. What it doesn't tell is read from the columns.

    Raises:
        UnreadableFooter: it isn't Parquet, lacks one of the six columns, or unpacks to more than there may be room for.
    """
    try:
        with pq.ParquetFile(path) as file:
            names = [file.metadata.schema.column(index).path for index in range(file.metadata.num_columns)]
            columns = {name: names.index(name) for name in SCHEMA.names}
            if file.metadata.num_rows > MOST_FOREIGN_ROWS:
                raise PagesRefused(f"has more than {MOST_FOREIGN_ROWS} rows")
            unpacked = {name: check_pages(path, _chunks(file.metadata, index)) for name, index in columns.items()}
            check_total(unpacked.values())
            most = sum(each.most for each in unpacked.values())
            if most > MOST_UNPACKED_BYTES and _texts_bytes(path, file, unpacked) > MOST_UNPACKED_BYTES:
                raise PagesRefused(TOO_MUCH)
            nulls = _nulls(path, file, columns, unpacked)
            first_ms, last_ms = _bounds_ms(file, columns["event_time"])
            long = _long_uids(path, file, unpacked["uid"])
            infinite = _infinite_times(file) if (first_ms, last_ms) == _UNBOUNDED else 0
            problems = [f"{nulls} values of time, uid or JSON are missing"] if nulls else []
            problems += [f"{infinite} times are infinite"] if infinite else []
            problems += [f"{long} uids are longer than {MOST_UID_BYTES} bytes"] if long else []
            return Footer(file.metadata.num_rows, first_ms, last_ms, "; ".join(problems))
    except PagesRefused as error:
        raise UnreadableFooter(str(error)) from error
    except _FAULTS as error:
        raise UnreadableFooter(NOT_EVENTS) from error


def _chunks(metadata: pq.FileMetaData, index: int) -> Iterator[tuple[int, int, int]]:
    """Where a column begins and ends in the file, and its rows, row group by row group."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        chunk = metadata.row_group(group).column(index)
        offsets = (chunk.dictionary_page_offset, chunk.data_page_offset)
        start = min(offset for offset in offsets if offset)
        yield start, start + chunk.total_compressed_size, max(rows, chunk.num_values)


def _statistics(file: pq.ParquetFile, index: int) -> list[pq.Statistics | None]:
    metadata = file.metadata
    return [metadata.row_group(group).column(index).statistics for group in range(metadata.num_row_groups)]


def _pieces(path: _Path, file: pq.ParquetFile, name: str, unpacked: Unpacked) -> Iterator[pa.Array]:
    """A column piece by piece, as it may not fit into memory whole.

    Raises:
        PagesRefused: it would take minutes; a dictionary is made anew for each piece.
    """
    # A text that a file has once, for too many rows, is then had once as well.
    names = [name] if unpacked.dictionary and unpacked.most > MOST_UNPACKED_BYTES else []
    rows = _PIECE_ROWS
    if (unpacked.read if names else unpacked.most) > _PIECE_BYTES:  # each row may be as large as a page
        rows = max(1, min(1024, _PIECE_BYTES // unpacked.largest))
    if file.metadata.num_rows // rows * (unpacked.dictionary + _STEP_BYTES) > _MOST_WORK_BYTES:
        raise PagesRefused("has pages that would take too long to be looked at")
    with pq.ParquetFile(path, metadata=file.metadata, read_dictionary=names) as column:
        yield from (batch.column(0) for batch in column.iter_batches(batch_size=rows, columns=[name]))


def _lengths(texts: pa.Array) -> pa.Array:
    """Bytes of each text; whoever wrote a file says as what they are to be had."""
    if isinstance(texts, pa.ExtensionArray):
        texts = texts.storage
    if pa.types.is_dictionary(texts.type):
        return _lengths(texts.dictionary).take(texts.indices)
    return pc.binary_length(texts.cast(pa.large_binary()))


def _texts_bytes(path: _Path, file: pq.ParquetFile, unpacked: Mapping[str, Unpacked]) -> int:
    """Bytes of all texts, each as often as there are rows that have it; counted until there are too many."""
    total = sum(unpacked[name].most for name in _TEXTS if not unpacked[name].dictionary)
    for name in (name for name in _TEXTS if unpacked[name].dictionary):
        for texts in _pieces(path, file, name, unpacked[name]):
            total += pc.sum(_lengths(texts)).as_py() or 0
            if total > MOST_UNPACKED_BYTES:
                return total
    return total


def _nulls(path: _Path, file: pq.ParquetFile, columns: Mapping[str, int], unpacked: Mapping[str, Unpacked]) -> int:
    """How many values are missing of the columns that a row can't do without."""
    optional = [name for name in _NEEDED if file.schema.column(columns[name]).max_definition_level]
    total = 0
    for name in optional:
        statistics = _statistics(file, columns[name])
        if all(each is not None and each.has_null_count for each in statistics):
            total += sum(each.null_count for each in statistics if each is not None)
        else:
            total += sum(piece.null_count for piece in _pieces(path, file, name, unpacked[name]))
    return total


def _long_uids(path: _Path, file: pq.ParquetFile, unpacked: Unpacked) -> int:
    """How many uids are longer than that of a row that is given."""
    kind = file.schema_arrow.field("uid").type
    if pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
        return 0  # as long as numbers are
    pieces = _pieces(path, file, "uid", unpacked)
    return sum(pc.sum(pc.greater(_lengths(texts), MOST_UID_BYTES)).as_py() or 0 for texts in pieces)


def _bounds_ms(file: pq.ParquetFile, index: int) -> tuple[int, int]:
    """Bounds of the times; those of a column that isn't of times hold everything, and so leave out nothing."""
    if not pa.types.is_timestamp(file.schema_arrow.field("event_time").type):
        return _UNBOUNDED
    bounds = [_group_bounds_ms(statistics) for statistics in _statistics(file, index)]
    known = [bound for bound in bounds if bound is not None]
    if len(known) < len(bounds):
        known = _read_bounds_ms(file)
    if not known:
        return 0, 0
    first_ms, last_ms = min(first for first, _ in known), max(last for _, last in known)
    return (first_ms, last_ms) if first_ms >= -_LATEST_MS and last_ms <= _LATEST_MS else _UNBOUNDED


def _infinite_times(file: pq.ParquetFile) -> int:
    """How many times are what engines take for infinity: the largest and the smallest number of microseconds."""
    kind = file.schema_arrow.field("event_time").type
    if not pa.types.is_timestamp(kind) or kind.unit != "us":
        return 0
    largest, found = 2**63 - 1, 0
    for batch in file.iter_batches(batch_size=65_536, columns=["event_time"]):
        times = batch.column(0).cast(pa.int64())
        found += pc.sum(pc.or_(pc.equal(times, largest), pc.less_equal(times, -largest))).as_py() or 0
    return found


def _read_bounds_ms(file: pq.ParquetFile) -> list[tuple[int, int]]:
    """Bounds from the times themselves, wider by one ms, since arrow rounds towards 1970; [] if there is no time."""
    found = []
    for batch in file.iter_batches(batch_size=65_536, columns=["event_time"]):
        times = batch.column(0).cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        bounds = pc.min_max(times)
        first, last = bounds["min"].as_py(), bounds["max"].as_py()
        if first is not None:
            found.append((first - 1, last + 1))
    return found


def _group_bounds_ms(statistics: pq.Statistics | None) -> tuple[int, int] | None:
    try:
        if statistics is None or not statistics.has_min_max:
            return None
        first, last = statistics.min, statistics.max
    except (ValueError, OverflowError):  # a time that datetime can't say
        return None
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    return _ms(first), _ms(last)


def _ms(moment: datetime) -> int:
    utc = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
