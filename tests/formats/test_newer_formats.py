"""Data of a later version is refused in one clear line, and left as it is."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from server.audit_log.journal.frames import FrameType, encode, encode_commit
from tests.formats.directory import FOLDER, unpack
from tests.running_server import RunningServer

OLDEST = min(FOLDER.glob("*.tar.xz"))


def newer_state(data: Path) -> None:
    with sqlite3.connect(data / "state.db") as database:
        database.execute("UPDATE schema_version SET version = version + 1000")
    database.close()


def newer_journal(data: Path) -> None:
    (log,) = (folder for folder in (data / "journal").iterdir() if folder.is_dir())
    header = {"format": 2, "log_id": log.name, "first": 1000, "storage": "default"}
    (log / f"{1000:020}.seg").write_bytes(
        encode(FrameType.SEGMENT, json.dumps(header).encode()) + encode_commit(0, 0, 1)
    )


def newer_record(data: Path) -> None:
    (log,) = (data / "storage" / "events" / "_batches").iterdir()
    first = next(log.iterdir())
    record = json.loads(first.read_bytes()) | {"format": 2, "first": 9000, "last": 9001}
    (log / "9000-9001.json").write_text(json.dumps(record))


NEWER: dict[str, tuple[Callable[[Path], None], str]] = {
    "state": (newer_state, "the state database has schema"),
    "journal": (newer_journal, "the journal has format 2"),
    "batch record": (newer_record, "a batch record has format 2"),
}


@pytest.mark.parametrize("name", NEWER)
def test_a_start_is_refused_and_says_what_to_do(tmp_path: Path, name: str) -> None:
    unpack(OLDEST, tmp_path)
    change, text = NEWER[name]
    change(tmp_path / "data")
    journal = {path: path.read_bytes() for path in (tmp_path / "data" / "journal").rglob("*.seg")}
    with RunningServer(tmp_path).until_killed() as server:
        assert server.wait() == 1
    (line,) = [line for line in server.said.splitlines() if line.startswith("extaudit: ")]
    assert text in line
    assert "start that one, or restore a backup of before the upgrade" in line
    assert {path: path.read_bytes() for path in (tmp_path / "data" / "journal").rglob("*.seg")} == journal
