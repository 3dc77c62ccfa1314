"""`extaudit journal fork`, and what a start notices by itself, with real servers, files and copies."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from extaudit_client import Client, Query
from extaudit_client.errors import ExtauditError

from server.audit_log.fork_request import request_fork
from server.data_directory import DataDirectoryProblem
from tests.running_server import RunningServer, extaudit, running_server

FORKED = "extaudit.journal.fork"


def emit(client: Client, *numbers: int) -> dict[int, tuple[str, int]]:
    """Emit events; gives where each is."""
    given = {}
    for number in numbers:
        answer = client.emit(b'{"event":"test","uid":"u-%d"}' % number)
        given[number] = (answer.log_id, answer.sequence)
    return given


def found(client: Client) -> dict[int, tuple[str, int]]:
    """Where each event of the tests is, by a search for all of them."""
    rows = [row for page in client.search_pages(Query(types=("test",))) for row in page.rows]
    assert all(len(row.receipts) == 1 for row in rows)
    return {int(json.loads(row.json)["uid"][2:]): (row.receipts[0].log_id, row.receipts[0].sequence) for row in rows}


def forks(client: Client) -> list[dict[str, Any]]:
    return [json.loads(row.json) for row in client.search(Query(types=(FORKED,))).rows]


def fork(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return extaudit(folder, "journal", "fork", "--data-dir", "data", *arguments)


def copied(original: Path, folder: Path) -> Path:
    """A copy as `cp -a` makes it."""
    folder.mkdir()
    shutil.copytree(original / "data", folder / "data", symlinks=True)
    return folder


def test_a_copy_and_its_original_go_on_without_a_place_given_twice(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    with running_server(original) as server, server.client() as client:
        before = emit(client, *range(5))
    copy = copied(original, tmp_path / "copy")
    with running_server(original) as server, server.client() as client:
        on = emit(client, *range(10, 15))
        assert forks(client) == [], "the original is where it was"
    with running_server(copy) as server, server.client() as client:
        other = emit(client, *range(20, 25))
        (event,) = forks(client)
        assert event["log_id"] == before[0][0] == on[10][0]
        assert found(client) == before | other
        assert not set(other.values()) & set(on.values())
        assert emit(client, 0) == {0: before[0]}, "a retry gets its first acknowledgement"
    assert "the log has ended and another begun" in server.said


def test_a_fork_that_is_asked_for_says_who_why_and_what_is_lost(tmp_path: Path) -> None:
    original = tmp_path / "original"
    original.mkdir()
    with running_server(original) as server, server.client() as client:
        before = emit(client, *range(5))
        token = client.search(Query(types=("test",), page_size=2)).next_page_token
    copy = copied(original, tmp_path / "copy")
    with running_server(original) as server, server.client() as client:
        (log_id, sequence) = emit(client, 10)[10]
    last = ("--last-acknowledged", f"{log_id}:{sequence}")
    asked = fork(copy, "--reason", "the disk was lost", *last)
    assert asked.returncode == 0, asked.stderr
    assert "a new log begins when the service starts" in asked.stdout.decode()
    assert_asked_once(copy, last)
    with running_server(copy) as server, server.client() as client:
        (event,) = forks(client)
        assert (event["reason"], event["log_id"]) == ("the disk was lost", log_id)
        assert event["operator"]
        answer = client.search(Query(types=("test",)))
        lost = [(item.name, item.first_sequence, item.last_sequence) for item in answer.missing]
        assert lost == [(log_id, event["last_sequence"] + 1, sequence)]
        assert found(client) == before
        with pytest.raises(ExtauditError, match="token"):
            client.search(Query(types=("test",), page_size=2), page_token=token)


def assert_asked_once(copy: Path, last: tuple[str, str]) -> None:
    """Another fork takes the place of the first if that is said, and one that knows less than the copy never does."""
    data_dir, (_, where) = copy / "data", last
    log_id = where.partition(":")[0]
    kept = (data_dir / "journal" / "fork.json").read_bytes()
    with pytest.raises(DataDirectoryProblem, match=rf"by .+ \(reason: the disk was lost, last acknowledged {where}\)"):
        request_fork(data_dir, "another", "root", None)
    with pytest.raises(DataDirectoryProblem, match="event 1 isn't the last: this directory has those of log"):
        request_fork(data_dir, "another", "root", f"{log_id}:1", replace=True)
    assert (data_dir / "journal" / "fork.json").read_bytes() == kept
    assert fork(copy, "--reason", "another", "--replace").returncode == 0
    assert b"another" in (data_dir / "journal" / "fork.json").read_bytes()
    request_fork(data_dir, "the disk was lost", "root", where, replace=True)


def test_who_follows_goes_on_behind_what_the_copy_has(tmp_path: Path) -> None:
    """Who followed the original beyond its end is told where that is."""
    original = tmp_path / "original"
    original.mkdir()
    with running_server(original) as server, server.client() as client:
        before = emit(client, *range(5))
        early = {before[2][0]: before[2][1]}
    copy = copied(original, tmp_path / "copy")
    with running_server(original) as server, server.client() as client:
        late = dict([emit(client, *range(10, 30))[29]])
    with running_server(copy) as server, server.client() as client:
        other = emit(client, *range(40, 45))
        assert watched(client, early, 7) == [3, 4, *other]
        end = forks(client)[0]["last_sequence"]
        with pytest.raises(ExtauditError, match=f"beyond the log's end, {end}"):
            watched(client, late, 5)
        assert watched(client, {before[0][0]: end}, 5) == list(other)


def watched(client: Client, place: dict[str, int], count: int) -> list[int]:
    """The first so many events of the tests behind a place."""
    numbers: list[int] = []
    with closing(client.watch(Query(types=("test",)), after=place)) as watching:
        while len(numbers) < count:
            numbers += [int(json.loads(row.json)["uid"][2:]) for row in next(watching).rows]
    return numbers


REFUSED = {
    "no reason": (("--reason", " "), "give a reason"),
    "no log": (("--reason", "x", "--last-acknowledged", "5"), "LOG_ID:SEQUENCE"),
    "an unknown log": (("--reason", "x", "--last-acknowledged", f"{'0' * 20}:5"), "knows no log"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_request_is_one_clear_line_and_changes_nothing(tmp_path: Path, name: str) -> None:
    with running_server(tmp_path):
        pass
    arguments, text = REFUSED[name]
    done = fork(tmp_path, *arguments)
    assert done.returncode == 1
    assert text in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "data" / "journal" / "fork.json").exists()


def test_while_a_server_runs_it_is_refused(tmp_path: Path) -> None:
    with RunningServer(tmp_path).until_killed() as server:
        server.wait_until_ready()
        done = fork(tmp_path, "--reason", "x")
        assert done.returncode == 1
        assert "another extaudit serve uses this data directory" in done.stderr.decode()


def test_a_folder_that_is_none_is_refused_and_left_alone(tmp_path: Path) -> None:
    done = fork(tmp_path, "--reason", "x")
    assert (done.returncode, list(tmp_path.iterdir())) == (1, [])
