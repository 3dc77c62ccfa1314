"""Recordings through the command line: up, complete, down again; across a broken upload, a kill and a damaged disk."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import extaudit_cli
import pytest
from extaudit_client import RecordedEvent, Recording, RecordingSummary
from extaudit_client.custody import CustodyDigest

from tests.reserved_port import reserved_port
from tests.running_server import RUN, RunningServer, environment, extaudit, running_server

MIB = 1024 * 1024


class CommandLine:
    """Runs `extaudit recordings …` against a server's data directory."""

    def __init__(self, server: RunningServer, folder: Path) -> None:
        self._data_dir = server.data_dir
        self._folder = folder

    def run(self, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return extaudit(self._folder, "recordings", *arguments, "--data-dir", str(self._data_dir), given=given)

    def json(self, *arguments: str, given: bytes = b"") -> dict[str, Any]:
        done = self.run(*arguments, "--output", "json", given=given)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def line(server: RunningServer, tmp_path: Path) -> CommandLine:
    return CommandLine(server, tmp_path)


def write(path: Path, size: int) -> bytes:
    data = os.urandom(size)
    path.write_bytes(data)
    return data


def custody_of(data: bytes) -> str:
    digest = CustodyDigest()
    digest.update(data)
    return digest.custody


def test_a_recording_goes_up_and_comes_down_as_it_was(line: CommandLine, tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    data = write(tmp_path / "up.tar", 9 * MIB + 7)
    recording = line.json("upload", "up.tar", "--session", session)
    assert recording["state"] == "completed"
    assert (recording["bytes"], recording["parts"]) == (len(data), 2)
    assert (recording["custody_digest"], recording["sha256"]) == (custody_of(data), "")
    assert line.json("download", session, "-o", "down.tar")["upload_id"] == recording["upload_id"]
    assert (tmp_path / "down.tar").read_bytes() == data
    assert line.run("download", session).returncode == 0
    assert (tmp_path / f"{session}.tar").read_bytes() == data
    assert line.run("download", session, "-o", "-").stdout == data


def test_the_same_again_is_a_repeat_and_another_is_kept_beside_it(line: CommandLine, tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    first = line.json("upload", "-", "--session", session, given=b"first")
    assert line.json("upload", "-", "--session", session, given=b"first")["state"] == "repeated"
    second = line.json("upload", "-", "--session", session, given=b"second")
    assert (second["state"], second["aside"]) == ("kept_aside", True)
    assert line.run("download", session, "-o", "-").stdout == b"first"
    assert line.run("download", session, "--upload", second["upload_id"], "-o", "-").stdout == b"second"
    assert line.json("complete", first["upload_id"])["state"] == "completed"


def test_an_aborted_upload_is_kept_and_can_be_read(line: CommandLine) -> None:
    session = str(uuid.uuid4())
    upload = line.json("upload", "-", "--session", session, "--no-complete", given=b"half")["upload_id"]
    assert line.json("abort", upload)["state"] == "aborted"
    assert line.json("abort", upload)["state"] == "aborted"
    failed = line.run("complete", upload)
    assert (failed.returncode, failed.stderr.count(b"\n")) == (1, 1)
    assert b"UPLOAD_NOT_OPEN" in failed.stderr
    assert line.run("download", session, "-o", "-").returncode == 1
    assert line.run("download", session, "--upload", upload, "-o", "-").stdout == b"half"


def test_an_interrupted_upload_is_gone_on_with(line: CommandLine, tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    data = write(tmp_path / "up.tar", 3 * MIB)
    upload = line.json("upload", "-", "--session", session, "--no-complete", given=data[:MIB])["upload_id"]
    recording = line.json("upload", "up.tar", "--session", session, "--upload", upload)
    assert (recording["upload_id"], recording["state"]) == (upload, "completed")
    assert recording["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload", "-", "--session", "not-a-session"],
        ["download", "not-a-session"],
        ["download", str(uuid.uuid4())],
        ["complete", "gone"],
        ["abort", "gone\x1b[2J"],
        ["upload", "-", "--session", str(uuid.uuid4())],
    ],
)
def test_what_fails_says_why_in_one_line_and_leaves_no_file(
    line: CommandLine, tmp_path: Path, arguments: list[str]
) -> None:
    failed = line.run(*arguments)
    assert failed.returncode == 1
    assert failed.stdout == b""
    assert failed.stderr.startswith(b"Error: ")
    assert failed.stderr.count(b"\n") == 1
    assert b"\x1b" not in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_same_name_for_none_and_for_hidden(line: CommandLine) -> None:
    failed = line.run("download", str(uuid.uuid4()))
    assert b"there is no such recording, or it isn't for you to read (NOT_FOUND)" in failed.stderr


def test_sessions_are_listed_with_what_is_kept_of_them(server: RunningServer, line: CommandLine) -> None:
    with server.client() as client:
        events = [
            b'{"event":"session.end","sid":"%s","user":"alice","participants":["alice","bob"],"server_hostname":"db-\x31",'
            b'"time":"2026-11-20T10:00:00Z","uid":"%d"}' % (str(uuid.uuid4()).encode(), number)
            for number in range(3)
        ]
        for event in events:
            client.emit(event)
    ended = json.loads(events[0])["sid"]
    recording = line.json("upload", "-", "--session", ended, given=b"recorded")
    unknown = str(uuid.uuid4())
    open_upload = line.json("upload", "-", "--session", unknown, "--no-complete", given=b"half")
    listed = line.json("list", "--session", ended)["sessions"]
    assert [(each["user"], each["participants"]) for each in listed] == [("alice", ["alice", "bob"])]
    assert listed[0]["recording"]["custody_digest"] == recording["custody_digest"]
    (other,) = line.json("list", "--session", unknown)["sessions"]
    assert [(each["upload_id"], each["state"]) for each in other["uploads"]] == [(open_upload["upload_id"], "open")]
    with_recording = line.json("list", "--participant", "bob", "--recorded")["sessions"]
    assert [each["session_id"] for each in with_recording] == [ended]
    for limit, more in (("2", True), ("3", False), ("4", False)):
        found = line.json("list", "--participant", "bob", "--limit", limit)
        assert (len(found["sessions"]), found["more"]) == (min(int(limit), 3), more)
        told = line.run("list", "--participant", "bob", "--limit", limit).stderr.decode()
        assert told == ("more: there are others beyond --limit 2\n" if more else "")
    assert len(line.run("list", "--participant", "bob", "--output", "jsonl").stdout.splitlines()) == 3
    assert ended.encode() in line.run("list", "--text", "ALICE").stdout
    assert line.json("reindex")["done"] is True
    assert line.json("list", "--session", ended)["sessions"] == listed


SAMPLES = sorted(Path(extaudit_cli.__file__).parent.glob("sample-recordings/*.tar"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)
def test_the_events_in_a_recording_are_streamed(server: RunningServer, line: CommandLine, sample: Path) -> None:
    line.json("upload", str(sample), "--session", sample.stem)
    with server.client() as client:
        recording, *events, summary = client.recordings.events(sample.stem)
        later = list(client.recordings.events(sample.stem, start_index=2))
    assert isinstance(recording, Recording)
    assert isinstance(summary, RecordingSummary)
    assert recording.bytes == summary.bytes == sample.stat().st_size
    assert summary.events == len(events) > 2
    assert all(isinstance(event, RecordedEvent) for event in events)
    assert [event.index for event in events if isinstance(event, RecordedEvent)] == list(range(len(events)))
    assert later == [recording, *events[2:], summary]


def test_an_upload_outlives_a_server_that_is_killed_under_it(tmp_path: Path) -> None:
    session = str(uuid.uuid4())
    data = os.urandom(40 * MIB)
    listen = ("--grpc-listen", f"127.0.0.1:{reserved_port()}")
    with RunningServer(tmp_path, *listen).until_killed() as server:
        server.wait_until_ready()
        command = [*RUN, "recordings", "upload", "-", "--session", session, "--data-dir", str(server.data_dir)]
        pipe = subprocess.PIPE
        with subprocess.Popen([*command, "--output", "json"], env=environment(), stdin=pipe, stdout=pipe) as client:
            assert client.stdin is not None
            client.stdin.write(data[: 30 * MIB])
            client.stdin.flush()
            server.kill()
            client.send_signal(signal.SIGSTOP)  # it gives up after some tries, however long a server takes to start
            try:
                with running_server(tmp_path, *listen):
                    client.send_signal(signal.SIGCONT)
                    out, _ = client.communicate(data[30 * MIB :], timeout=240)
                    assert client.returncode == 0
            finally:
                client.kill()
    recording = json.loads(out)
    assert (recording["bytes"], recording["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert recording["resume_time"]
