"""Uploads that nobody goes on with, or that a start can't read, are told in status and metrics."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import urllib.request
from pathlib import Path

from tests.polling import until
from tests.running_server import RunningServer, running_server

SESSION = "5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b11"


def metric(server: RunningServer, name: str) -> float:
    with urllib.request.urlopen(f"http://{server.wait_until_ready()['http']}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def test_an_abandoned_upload_is_alerted_until_it_is_ended(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, "--recordings-abandoned-after-seconds", "1") as server,
        server.client() as client,
    ):
        upload_id = client.recordings.upload(io.BytesIO(b"half"), SESSION).upload_id
        until(lambda: [problem.name for problem in client.status().problems] == ["uploads_abandoned"])
        assert (metric(server, "extaudit_open_uploads"), metric(server, "extaudit_abandoned_uploads")) == (1, 1)
        assert client.status().serving
        client.recordings.complete(upload_id)
        until(lambda: client.status().problems == ())
        assert (metric(server, "extaudit_open_uploads"), metric(server, "extaudit_abandoned_uploads")) == (0, 0)


def test_an_upload_that_a_start_can_not_read_is_told_and_left(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, server.client() as client:
        upload_id = client.recordings.upload(io.BytesIO(b"half"), SESSION).upload_id
    kept = tmp_path / "data" / "storage" / "recordings" / "_uploads" / upload_id[:32]
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "state.db")) as state, state:
        state.execute("DELETE FROM uploads")
    (kept / "begun.json").write_bytes(b"{}")
    with running_server(tmp_path) as server, server.client() as client:
        assert [problem.name for problem in client.status().problems] == ["uploads_unreadable"]
        assert client.status().serving
    assert (kept / "data").read_bytes() == b"half"
