"""docs/backup.md, literally, while events and a recording come in: what was acknowledged before is in the backup."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import threading
from pathlib import Path

import pytest
from extaudit_client import Client, Query
from extaudit_client.errors import ExtauditError
from extaudit_client.files import find_connection

from tests.docs.console_blocks import Command, steps
from tests.docs.walk import ROOT, Shell, walk

PAGE = ROOT / "docs" / "backup.md"
SESSION = "6f0b9d3e-54c7-4c0e-9f2b-0d6f2a3c4e51"
PART = bytes(range(256)) * 32
PARTS = 400

Places = dict[str, tuple[str, int]]


class Slow(io.RawIOBase):
    """A recording whose bytes come as they are taken, until it is told to stop."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._parts = itertools.repeat(PART, PARTS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        self._stopped.wait(0.02)
        given = next(self._parts, b"")
        memoryview(buffer)[: len(given)] = given
        return len(given)


class Load:
    """Emits and records against the original until it is killed, noting what was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self.acknowledged: Places = {}
        self.before: Places = {}
        self.upload_id = ""
        self.while_copied = 0

    def begin(self) -> None:
        """Begin, and return when much is acknowledged and some of it stored."""
        slow_tar(self._folder)
        with self._client("data") as client:
            upload = client.recordings.upload(io.BytesIO(PART), SESSION)
            self.upload_id = upload.upload_id
        for target in (*(lambda first=first: self._emit(first) for first in range(3)), self._record):
            self._threads.append(threading.Thread(target=target))
            self._threads[-1].start()
        while len(self.acknowledged) < 300:
            assert not self._stopped.wait(0.02)
        self.before = dict(self.acknowledged)

    def copied(self) -> None:
        """The backup is made."""
        self.while_copied = len(self.acknowledged) - len(self.before)
        while len(self.acknowledged) < len(self.before) + self.while_copied + 100:
            assert not self._stopped.wait(0.02)

    def end(self) -> None:
        """Stop; the original is gone, or goes now."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)

    def check(self) -> None:
        """Compare what the restored service has."""
        self.end()
        with self._client("restored") as client:
            found: Places = {}
            for page in client.search_pages(Query(types=("load",))):
                assert page.missing == ()
                for row in page.rows:
                    (receipt,) = row.receipts
                    found[json.loads(row.json)["uid"]] = receipt.log_id, receipt.sequence
            assert self.before.items() <= found.items(), "acknowledged before the copy began, and not in it"
            assert found.items() <= self.acknowledged.items(), "no event has another place than it was given"
            lost = sorted(self.acknowledged.keys() - found.keys())
            assert lost, "the original went on"
            for uid in (*sorted(self.before)[:50], *lost[:50]):
                answer = client.emit(event(uid))
                place = answer.log_id, answer.sequence
                assert place == found[uid] if uid in found else place not in self.acknowledged.values()
            self._check_upload(client)

    def _check_upload(self, client: Client) -> None:
        durable = client.recordings.get_upload(self.upload_id).durable_offset
        assert durable >= len(PART)
        whole = PART * PARTS
        client.recordings.upload(io.BytesIO(whole), SESSION, self.upload_id)
        client.recordings.complete(self.upload_id, size=len(whole))
        assert b"".join(client.recordings.read(SESSION)) == whole

    def _emit(self, first: int) -> None:
        with self._client("data") as client:
            for number in itertools.count(first, 3):
                if self._stopped.is_set():
                    return
                try:
                    answer = client.emit(event(f"load-{number}"))
                except ExtauditError:
                    return
                self.acknowledged[f"load-{number}"] = answer.log_id, answer.sequence

    def _record(self) -> None:
        with self._client("data") as client:
            try:
                client.recordings.upload(io.BufferedReader(Slow(self._stopped)), SESSION, self.upload_id)
            except ExtauditError:
                return

    def _client(self, data: str) -> Client:
        return Client(find_connection({}, self._folder / data))


def slow_tar(folder: Path) -> None:
    """Have each copy take as long as that of a large folder does, so that much is moved meanwhile."""
    path = folder / ".venv" / "bin" / "tar"
    path.write_text(f'#!/bin/sh\n{shutil.which("tar")} "$@"; code=$?; sleep 0.7; exit $code\n')
    path.chmod(0o755)


def event(uid: str) -> bytes:
    """Of three, one from a clock that was never set: every batch has objects of both dates."""
    year = 1999 if int(uid.rpartition("-")[2]) % 3 == 0 else 2026
    return b'{"event":"load","uid":"%s","time":"%d-11-28T00:00:00Z"}' % (uid.encode(), year)


@pytest.mark.timeout(600)
def test_the_page_does_what_it_says_under_load(tmp_path: Path) -> None:
    load = Load(tmp_path)
    try:
        walk(
            PAGE,
            tmp_path,
            {"load": load.begin, "copied": load.copied, "restored": load.check},
        )
        assert load.while_copied > 0, "nothing came in while it was copied"
    finally:
        load.end()


def test_a_service_that_never_stored_a_batch_is_copied_by_the_same_commands(tmp_path: Path) -> None:
    for folder in ("journal", "known_uids", "storage/events", "identity", "roles"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    (tmp_path / "backup").mkdir()
    copies = [step.text for step in steps(PAGE.read_text()) if isinstance(step, Command) and "copy" in step.text]
    shell = Shell(tmp_path)
    try:
        assert [shell.run(command) for command in copies] == [("", 0)] * 6
    finally:
        shell.close()
