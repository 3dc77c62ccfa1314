"""The sample recordings are sessions of the sample events, and are made of what the tool says."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from server.recordings.format.items import Summary
from server.recordings.format.reader import read_recording
from server.recordings.format.recorded_event import RecordedEvent
from tests.shape.repository import ROOT

CLI = ROOT / "clients/cli/extaudit_cli"
RECORDINGS = sorted((CLI / "sample-recordings").iterdir())
IDS = [path.stem[:8] for path in RECORDINGS]
EMITTED = [json.loads(line) for line in (CLI / "sample-events.jsonl").read_bytes().splitlines()]
KINDS = ["db.session", "session", "session"]


def events_of(path: Path) -> tuple[list[RecordedEvent], Summary]:
    *items, summary = read_recording([path.read_bytes()])
    assert isinstance(summary, Summary)
    events = [item for item in items if isinstance(item, RecordedEvent)]
    assert events == items
    return events, summary


def test_there_are_three() -> None:
    assert [path.suffix for path in RECORDINGS] == [".tar"] * 3


@pytest.mark.parametrize(("path", "kind"), list(zip(RECORDINGS, KINDS, strict=True)), ids=IDS)
def test_a_recording_is_whole_from_start_to_end(path: Path, kind: str) -> None:
    events, summary = events_of(path)
    assert summary.whole
    assert (events[0].type, events[-1].type) == (f"{kind}.start", f"{kind}.end")
    assert [event.time_ns for event in events] == sorted(event.time_ns for event in events)


@pytest.mark.parametrize("path", RECORDINGS, ids=IDS)
def test_what_was_emitted_of_the_session_is_recorded_with_the_same_words(path: Path) -> None:
    recorded = {event["ei"]: event for event in (json.loads(event.json) for event in events_of(path)[0])}
    emitted = [event for event in EMITTED if event.get("sid") == path.stem and event["ei"] in recorded]
    assert {"session.start", "session.end"} <= {event["event"].removeprefix("db.") for event in emitted}
    for event in emitted:
        if event["event"] == "session.recording.access":
            continue
        both = {key for key in event if key in recorded[event["ei"]]} - {"time"}
        assert len(both) >= 4
        assert {key: event[key] for key in both} == {key: recorded[event["ei"]][key] for key in both}


def test_the_shell_shows_what_a_player_must_cope_with() -> None:
    (shell,) = (events for events, _ in map(events_of, RECORDINGS) if any(event.type == "resize" for event in events))
    shown = b"".join(event.data for event in shell)
    for sequence in (b"\x1b[01;32m", b"\x1b[2J", b"\x1b[40;1H", b"\x1b[?1049h", b"\x1b]0;", "起".encode()):
        assert sequence in shown
    delays = [event.delay_ms for event in shell if event.data]
    assert max(after - before for before, after in itertools.pairwise(delays)) > 60_000
    assert "session.join" in {event.type for event in shell}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for folder in ("tools", "clients/cli/extaudit_cli"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(clone: Path, *options: str) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, "-m", "tools.generate_sample_recordings", *options]
    return subprocess.run(tool, cwd=clone, capture_output=True, text=True)


def test_recordings_are_fresh(clone: Path) -> None:
    assert run(clone, "--check").returncode == 0


def test_stale_recordings_are_named_and_made_anew(clone: Path) -> None:
    terminals = clone / "tools/sample_terminals.py"
    terminals.write_text(terminals.read_text().replace("Permission denied", "No such file"))
    (clone / "clients/cli/extaudit_cli/sample-recordings/0.tar").write_bytes(b"")
    checked = run(clone, "--check")
    assert (checked.returncode, checked.stderr.split()[-2:]) == (1, ["0.tar", f"{RECORDINGS[1].name}"])
    (clone / "clients/cli/extaudit_cli/sample-recordings/0.tar").unlink()
    assert run(clone).returncode == 0
    assert run(clone, "--check").returncode == 0


def test_the_distribution_ships_them() -> None:
    assert '"sample-recordings/*.tar"' in (ROOT / "pyproject.toml").read_text()
