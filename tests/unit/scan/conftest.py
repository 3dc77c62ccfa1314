"""An engine over the test's folder, and objects in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.audit_log.batch_codec import BatchRow, columns_of, encode
from server.storage.query import ScanObject
from server.storage.scan.engine import DuckScanEngine

NOON = 1_750_075_200_000

MakeRow = Callable[..., BatchRow]
MakeObject = Callable[..., ScanObject]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[DuckScanEngine]:
    engine = DuckScanEngine(threads=1, memory_bytes=1 << 28, allowed_directories=[str(tmp_path)])
    yield engine
    engine.close()


@pytest.fixture
def make_row() -> MakeRow:
    def make(ms: int = 0, uid: str = "u", data: bytes = b"{}", *, sequence: int = 1, type_: str = "t") -> BatchRow:
        return BatchRow(sequence, NOON + ms, type_, uid, "s", "alice", data, hashlib.sha256(data).hexdigest())

    return make


@pytest.fixture
def make_object(tmp_path: Path) -> MakeObject:
    def make(key: str, *rows: BatchRow) -> ScanObject:
        path = tmp_path / f"{key}.parquet"
        encode(columns_of(rows), path, log_id="l", first=1, last=100_000)
        return ScanObject(key, str(path))

    return make
