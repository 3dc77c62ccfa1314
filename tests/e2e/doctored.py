"""Data directories that a real server made, and what the doctor says of them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extaudit_cli.main import run
from extaudit_client import Client

from server.audit_log.journal.forks import mark_place
from server.certificates.issuing import issue_user
from server.files import DiskFiles
from tests.polling import until
from tests.running_server import RunningServer, extaudit, running_server

SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
DATES = ("2026-11-20", "2026-11-21", "2026-11-22")
QUICK_CUTS = ("--journal-cut-age-seconds", "0.2")


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor said."""

    code: int
    report: dict[str, Any]
    errors: str

    @property
    def findings(self) -> list[dict[str, str]]:
        return [finding for check in self.report["checks"] for finding in check["findings"]]

    @property
    def names(self) -> set[str]:
        """Of all faults that were found."""
        return {finding["name"] for finding in self.findings}

    def of(self, name: str) -> dict[str, str]:
        """The first finding of a fault."""
        return next(finding for finding in self.findings if finding["name"] == name)

    def facts(self, check: str) -> dict[str, Any]:
        found: dict[str, Any] = next(each["facts"] for each in self.report["checks"] if each["check"] == check)
        return found


def doctor(folder: Path, *arguments: str) -> Diagnosis:
    """Run it as a process of its own in `folder`, as people do."""
    done = extaudit(folder, "doctor", "--output", "json", *arguments)
    return Diagnosis(done.returncode, json.loads(done.stdout or "{}"), done.stderr.decode())


def doctor_here(folder: Path, *arguments: str) -> Diagnosis:
    """Run it in this process, which costs no start; nothing else in it may have the state database open."""
    with redirect_stdout(io.StringIO()) as out:
        code = run(["doctor", "--data-dir", str(folder / "data"), "--output", "json", *arguments])
    return Diagnosis(code, json.loads(out.getvalue()), "")


def fill(server: RunningServer) -> None:
    """Three batches of events of several dates, one recording, one more identity."""
    with server.client() as client:
        for batch in range(3):
            for number, date in enumerate(DATES):
                event = {"event": "a", "uid": f"u-{batch}-{number}", "time": f"{date}T12:00:0{batch}Z"}
                client.emit(json.dumps(event).encode())
            delivered(client)
        upload = client.recordings.upload(io.BytesIO(os.urandom(20_000)), SESSION)
        client.recordings.complete(upload.upload_id)
        delivered(client)
    issue_user(server.data_dir, "alice", ["auditor"], 30, server.data_dir / "identity")


def delivered(client: Client) -> None:
    """Wait until every event is in the storage."""
    until(lambda: client.status().journal.pending_events == 0)


def made_by_a_server(folder: Path) -> Path:
    """A data directory as an orderly stop leaves it, with events in the journal; gives its parent."""
    with running_server(folder, *QUICK_CUTS) as server:
        fill(server)
    with running_server(folder) as server, server.client() as client:
        for number in range(3):
            client.emit(json.dumps({"event": "kept in the journal", "uid": f"j-{number}"}).encode())
    return folder


def copy_of(made: Path, folder: Path) -> Path:
    """A copy of the data directory, which a test may harm and no start takes for a copy; gives its parent."""
    shutil.copytree(made / "data", folder / "data")
    mark_place(DiskFiles(), folder / "data" / "journal")
    return folder


Tree = dict[str, tuple[int, int, str]]


def tree(data_dir: Path) -> Tree:
    """Mode, time of the last change and content of everything."""
    found = {}
    for path in sorted([data_dir, *data_dir.rglob("*")]):
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(data_dir))] = status.st_mode, status.st_mtime_ns, content
    return found


def tree_of_running(server: RunningServer) -> Tree:
    """The same once the server has nothing to write; less the index of SQLite's log, which its own reads change."""
    with server.client() as client:
        delivered(client)
    seen: list[Tree] = []

    def is_still() -> bool:
        try:
            found = tree(server.data_dir)
        except FileNotFoundError:  # gone between its folder's listing and the look at it: not still
            seen.clear()
            return False
        found.pop("state.db-shm")
        seen.append(found)
        return len(seen) > 20 and all(each == found for each in seen[-20:])

    until(is_still)
    return seen[-1]


def objects(data_dir: Path) -> list[Path]:
    """Of events, oldest date first."""
    return sorted((data_dir / "storage" / "events").glob("????-??-??/*.parquet"))


def flip(path: Path, position: int = -1000) -> None:
    """Change one byte in place: the size stays."""
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1
    path.write_bytes(content)
