"""From the Parquet form of a batch back to its rows, as columns in the order of sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from server.audit_log.batch_codec import ROW_GROUP_ROWS, SCHEMA, BatchColumns, UnreadableFooter, sequences_in
from server.audit_log.columns.compiling import frozen
from server.audit_log.columns.layout import Bytes
from server.audit_log.columns.texts import are_ascii
from server.audit_log.event import Event

Numbers: TypeAlias = NDArray[np.int64]
Offsets: TypeAlias = NDArray[np.int32]


class Texts(NamedTuple):
    """A column of texts without an object for each. Text n is data[offsets[n]:offsets[n + 1]], less offsets[0]."""

    offsets: Offsets
    """One more than there are texts."""
    data: Bytes
    """UTF-8."""

    @property
    def lengths(self) -> Numbers:
        """Bytes of each."""
        return np.diff(self.offsets).astype(np.int64)

    def text(self, number: int) -> bytes:
        """Text n in UTF-8."""
        start, end = (self.offsets[number : number + 2] - self.offsets[0]).tolist()
        return self.data[start:end].tobytes()


class RowTexts(NamedTuple):
    """The texts of rows, a column each."""

    types: Texts
    uids: Texts
    session_ids: Texts
    users: Texts
    json: Texts


_NO_TEXTS = Texts(np.frombuffer(bytes(4), np.int32), np.frombuffer(b"", np.uint8))
_TEXTS = ("types", "uids", "session_ids", "users", "data")


def decode(data: bytes, most_bytes: int | None = None) -> BatchColumns:
    """The rows of an object that `batch_codec.encode` wrote, in its own order.

    Raises:
        UnreadableFooter: it isn't such an object, or says that its columns take more than `most_bytes`.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            metadata = file.metadata
            if most_bytes is not None and _decoded_bytes(metadata) > most_bytes:
                raise UnreadableFooter("the object is larger than is decoded at once")
            sequences = sequences_in(metadata)
            # Of few rows a thread for each column costs more than it saves.
            in_threads = metadata.num_rows > ROW_GROUP_ROWS
            table = file.read(columns=SCHEMA.names, use_threads=in_threads)
        names = "event_type", "uid", "session_id", "user", "event_data"
        texts = [_one_array(table.column(name)) for name in names]
    except (OSError, pa.ArrowException, ValueError, OverflowError, TypeError, RuntimeError) as error:
        raise UnreadableFooter("the object isn't one that the service wrote") from error
    return BatchColumns(sequences, _one_array(table.column("event_time")).view(pa.int64()).to_numpy(), *texts)


def _decoded_bytes(metadata: pq.FileMetaData) -> int:
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def in_order(parts: Sequence[BatchColumns]) -> BatchColumns:
    """The rows of all parts, in the order of sequences."""
    rows = joined(parts)
    return taken(rows, np.argsort(rows.sequences, kind="stable"))


def joined(parts: Sequence[BatchColumns]) -> BatchColumns:
    """The rows of all parts, one part after the other."""
    sequences = np.concatenate([part.sequences for part in parts]) if parts else np.empty(0, np.int64)
    times = np.concatenate([part.times_ms for part in parts]) if parts else np.empty(0, np.int64)
    return BatchColumns(sequences, times, *(_joined([getattr(part, name) for part in parts]) for name in _TEXTS))


def taken(columns: BatchColumns, rows: Numbers) -> BatchColumns:
    """These rows alone, in this order."""
    numbers = pa.array(rows)
    texts = (getattr(columns, name).take(numbers) for name in _TEXTS)
    return BatchColumns(columns.sequences[rows], columns.times_ms[rows], *texts)


def part_of(columns: BatchColumns, start: int, end: int) -> BatchColumns:
    """The rows start..end (exclusive), without a copy."""
    texts = (getattr(columns, name).slice(start, end - start) for name in _TEXTS)
    return BatchColumns(columns.sequences[start:end], columns.times_ms[start:end], *texts)


def blocks(columns: BatchColumns, after: int, most_rows: int, most_bytes: int) -> Iterator[BatchColumns]:
    """The rows with sequences above `after`, in order, in blocks of at least one row; none is copied.

    A block ends where the next row would make it more than `most_rows`, or its JSON more than `most_bytes`.
    """
    start = int(np.searchsorted(columns.sequences, after, side="right"))
    ends = np.cumsum(json_sizes(columns))
    while start < len(ends):
        used = int(ends[start - 1]) if start else 0
        end = int(np.searchsorted(ends, used + most_bytes, side="right"))
        end = max(start + 1, min(end, start + most_rows))
        yield part_of(columns, start, end)
        start = end


def json_sizes(columns: BatchColumns) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Bytes of the JSON of each row."""
    offsets = np.frombuffer(columns.data.buffers()[1], np.int32)
    first = columns.data.offset
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]] = np.diff(offsets[first : first + len(columns.data) + 1])
    return sizes.astype(np.int64)


def texts_of(column: pa.Array) -> Texts:
    """A column's texts where they are, without a copy."""
    if not len(column):
        return _NO_TEXTS
    _, offsets, data = column.buffers()
    found = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return Texts(found, np.frombuffer(data or b"", np.uint8)[found[0] : found[-1]])


def row_texts(columns: BatchColumns) -> RowTexts:
    """The texts of all rows where they are, without a copy; none of the arrays can be written to."""
    return RowTexts(*(_frozen(texts_of(getattr(columns, name))) for name in _TEXTS))


def _frozen(texts: Texts) -> Texts:
    return Texts(frozen(texts.offsets), frozen(texts.data))


def texts_in(values: Sequence[str]) -> Texts:
    """These texts as a column."""
    return texts_of(pa.array(values, pa.string()))


def joined_json(columns: BatchColumns) -> memoryview:
    """The JSON of all rows, one right after the other, without a copy."""
    if not len(columns.data):
        return memoryview(b"")
    offsets = np.frombuffer(columns.data.buffers()[1], np.int32)
    first = columns.data.offset
    return memoryview(columns.data.buffers()[2])[offsets[first] : offsets[first + len(columns.data)]]


def events(columns: BatchColumns) -> Iterator[tuple[int, Event]]:
    """Each row as its sequence and event."""
    ends = np.cumsum(json_sizes(columns)).tolist()
    json, start = joined_json(columns), 0
    types, uids, session_ids, users = (getattr(columns, name).to_pylist() for name in _TEXTS[:-1])
    rows = zip(
        columns.sequences.tolist(), columns.times_ms.tolist(), types, uids, session_ids, users, ends, strict=True
    )
    for sequence, time_ms, type_, uid, session_id, user, end in rows:
        yield sequence, Event(time_ms, type_, uid, session_id, user, bytes(json[start:end]))
        start = end


def are_whole(columns: BatchColumns) -> bool:
    """Whether rows that others may have written are as ours: in order of time, nothing missing, all texts UTF-8."""
    texts = [getattr(columns, name) for name in _TEXTS]
    if any(each.null_count for each in texts) or (np.diff(columns.times_ms) < 0).any():
        return False
    # Most are plain ASCII, and a look at that takes a quarter of what it takes to tell where characters end.
    return are_ascii(*(each.data for each in row_texts(columns))) or all(map(_is_utf8, texts))


def _is_utf8(texts: pa.Array) -> bool:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def bytes_of(columns: BatchColumns) -> int:
    """What the columns keep in memory, about: of a slice all that it is a part of."""
    return 16 * len(columns.sequences) + sum(int(getattr(columns, name).get_total_buffer_size()) for name in _TEXTS)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    if len(arrays) == 1:
        return arrays[0]  # joining one copies it
    return pa.concat_arrays(arrays) if arrays else pa.array([], pa.string())
