"""Events as a Parquet file: Teleport's six columns, and where and by whom each event was taken in."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from extaudit_cli.exporting.csv_rows import emitter_texts

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents

_ROW_GROUP_ROWS = 8192
_ROW_GROUP_BYTES = 16 * 1024 * 1024
_TIME = pa.timestamp("ms", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("event_time", _TIME, nullable=False),
        pa.field("uid", pa.string(), nullable=False),
        pa.field("session_id", pa.string(), nullable=False),
        pa.field("user", pa.string(), nullable=False),
        pa.field("event_data", pa.string(), nullable=False),
        pa.field("log_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("emitter", pa.string()),
        pa.field("received", _TIME),
    ]
)


class ParquetEncoder:
    """Writes row groups of at most 8,192 rows or 16 MiB and a piece more, so that memory is bounded."""

    def __init__(self) -> None:
        self._out = _Drain()
        self._writer: Any = None
        self._waiting: list[Any] = []

    def encode(self, events: ExportedEvents) -> bytes:
        """What is written by now; nothing while a row group fills."""
        if len(events):
            self._waiting.append(_table(events))
        rows = sum(table.num_rows for table in self._waiting)
        if rows >= _ROW_GROUP_ROWS or sum(table.nbytes for table in self._waiting) >= _ROW_GROUP_BYTES:
            self._write()
        return self._out.take()

    def finish(self) -> bytes:
        """The last row group and the footer; nothing if there were no events."""
        self._write()
        if self._writer is not None:
            self._writer.close()
        return self._out.take()

    def _write(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._out, SCHEMA, compression="zstd")
        self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=_ROW_GROUP_ROWS)
        self._waiting = []


class _Drain(io.RawIOBase):
    """Takes what is written, and gives it away."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts = []
        return found


def _table(events: ExportedEvents) -> Any:
    ends = [0]
    for size in events.json_sizes:
        ends.append(ends[-1] + size)
    offsets = pa.array(ends, pa.int32()).buffers()[1]
    return pa.table(
        [
            pa.array(events.types, pa.string()),
            pa.array(events.times_ms, _TIME),
            pa.array(events.uids, pa.string()),
            pa.array(events.session_ids, pa.string()),
            pa.array(events.users, pa.string()),
            pa.StringArray.from_buffers(len(events), offsets, pa.py_buffer(events.json)),
            pa.repeat(events.log_id, len(events)),
            pa.array(events.sequences, pa.int64()),
            pa.array([text or None for text in emitter_texts(events)], pa.string()),
            pa.array([received or None for received in events.received_ms], _TIME),
        ],
        SCHEMA,
    )
