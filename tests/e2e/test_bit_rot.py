"""A byte that the disk changed by itself: nothing about the file tells, so only reading it again does."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from server.audit_log.search import digests
from server.config import JournalSection, ScrubSection
from tests.e2e.doctored import flip, objects
from tests.polling import until
from tests.running_app import running_app


def missing(client: Client) -> set[str]:
    """Reasons why a search for the event isn't complete."""
    return {part.reason for part in client.search(Query(types=("a",))).missing}


def test_a_search_learns_from_the_scrub_of_bytes_that_changed_under_an_unchanged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No user can set a file's change time back, as a disk does that gives other bytes than it was given.
    monkeypatch.setattr(digests, "_state", lambda path: (0, os.stat(path).st_size, 0))
    data_dir, journal = tmp_path / "data", JournalSection(cut_age_seconds=0.2)
    with (
        running_app(data_dir, journal=journal, scrub=ScrubSection(period_seconds=1.0)) as app,
        Client(find_connection({}, data_dir)) as client,
    ):
        client.emit(json.dumps({"event": "a", "time": "2026-11-20T12:00:00Z"}).encode())
        until(lambda: [path for path in objects(data_dir) if path.parent.name == "2026-11-20"])
        until(lambda: client.status().journal.pending_events == 0)
        assert missing(client) == set()
        rotten = next(path for path in objects(data_dir) if path.parent.name == "2026-11-20")
        flip(rotten)
        until(lambda: app.scrubbing.counts()["changed"] == 1)
        assert missing(client) == {"object_changed"}
        flip(rotten)
        until(lambda: app.scrubbing.counts()["changed"] == 0)
        assert missing(client) == set()
