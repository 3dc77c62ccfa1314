"""Parquet files that others put into a storage."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from server.audit_log.timestamps import utc_date
from tests.contract.search_rig import NOON

STRINGS = ("event_type", "uid", "session_id", "user", "event_data")


def columns(uids: Sequence[str | None], time_ms: int = NOON) -> dict[str, Any]:
    """The six columns; the times are a millisecond apart."""
    numbers = range(len(uids))
    return {
        "event_type": pa.array(["user.login"] * len(uids), pa.string()),
        "event_time": pa.array([time_ms + number for number in numbers], pa.timestamp("ms", "UTC")),
        "uid": pa.array(uids, pa.string()),
        "session_id": pa.array([""] * len(uids), pa.string()),
        "user": pa.array(["ann"] * len(uids), pa.string()),
        "event_data": pa.array([json.dumps({"event": "user.login", "uid": uid}) for uid in uids], pa.string()),
    }


def write(path: Path, table: dict[str, Any], *, schema: pa.Schema | None = None, **options: Any) -> Path:
    """Put a file in place as a whole; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name("part")
    pq.write_table(pa.table(table, schema=schema), part, **options)
    os.replace(part, path)
    return path


def write_as_teleport(events: Path, *uids: str, time_ms: int = NOON) -> Path:
    """As Teleport's Athena backend writes: required columns, length-delta strings, pages v2, Snappy, uuid names."""
    table = columns(uids, time_ms)
    path = events / utc_date(time_ms) / f"{uuid.uuid4()}.parquet"
    return write(
        path,
        table,
        schema=pa.schema([pa.field(name, array.type, nullable=False) for name, array in table.items()]),
        compression="snappy",
        data_page_version="2.0",
        use_dictionary=False,
        column_encoding=dict.fromkeys(STRINGS, "DELTA_LENGTH_BYTE_ARRAY"),
        store_schema=False,
    )
