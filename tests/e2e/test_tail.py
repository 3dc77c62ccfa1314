"""Watching a real service: rights that change, readers that are slow, and `extaudit events tail` as a process."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import event_watch_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit_client import Client, ExtauditError, Query
from extaudit_client.files import find_connection

from server.app import App
from server.config import JournalSection
from tests.e2e.test_live_policy import channel_of, put
from tests.polling import until
from tests.running_app import running_app
from tests.running_server import RUN, RunningServer, environment, running_server

READER = """
kind: role
version: v7
metadata: {name: reader}
spec: {allow: {rules: [{resources: [event], verbs: [list], where: "equals(event.user, '%s')"}]}}
"""


def admin(app: App) -> Client:
    return Client(find_connection({}, app.config.data_dir))


def emit(client: Client, *users: str) -> None:
    for user in users:
        client.emit(json.dumps({"event": "test", "user": user}).encode())


def users_of(answers: Iterator[pb.WatchEventsResponse]) -> list[str]:
    """Of the next answer that has events."""
    return next([row.user for row in answer.events] for answer in answers if answer.events)


def test_another_condition_holds_for_what_follows_and_a_lost_right_ends_it(tmp_path: Path) -> None:
    with running_app(tmp_path / "data") as app, admin(app) as client:
        put(app, "reader.yaml", READER % "eve")
        with channel_of(app, tmp_path, "alice", "reader") as channel:
            watch = AuditLogServiceStub(channel).WatchEvents(pb.WatchEventsRequest())
            assert next(watch).caught_up
            emit(client, "adam", "eve", "adam")
            assert users_of(watch) == ["eve"]
            put(app, "reader.yaml", READER % "adam")
            emit(client, "eve", "adam")
            assert users_of(watch) == ["adam"]
            put(app, "reader.yaml", None)
            with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
                list(watch)


def test_who_doesnt_read_for_long_is_given_everything_from_the_storage(tmp_path: Path) -> None:
    journal = JournalSection(cut_events=500)
    with running_app(tmp_path / "data", journal=journal) as app, admin(app) as client:
        watch = client.watch(after={})
        next(watch)
        events = [json.dumps({"event": "test", "uid": f"u{n}", "padding": "x" * 4000}).encode() for n in range(4000)]
        for _ in client.emit_stream(iter(events)):
            pass
        until(lambda: app.log.tail.events < 500)
        found: list[str] = []
        while len(found) < len(events):
            found += [row.uid for row in next(watch).rows if row.type == "test"]
        assert found == [f"u{n}" for n in range(4000)]
        watch.close()


def test_a_watch_from_a_time_and_one_from_a_place_meet(tmp_path: Path) -> None:
    with running_app(tmp_path / "data", journal=JournalSection(cut_events=3)) as app, admin(app) as client:
        emit(client, *"abcdefgh")
        test = Query(types=("test",))
        first = client.watch(test, after={})
        whole: list[Any] = []
        while len(whole) < 8:
            whole += next(first).rows
        for number, row in enumerate(whole):
            position = row.receipts[0]
            later: list[Any] = []
            for watched in client.watch(test, after={position.log_id: position.sequence}):
                later += watched.rows
                if watched.caught_up:
                    break
            assert later == whole[number + 1 :]
        since = whole[5].receipts[0].received_time
        given: list[str] = []
        for watched in client.watch(test, received_from=since):
            given += [row.user for row in watched.rows]
            if watched.caught_up:
                break
        assert "".join(given).endswith("fgh"), "others may be of the same millisecond"


def test_a_stop_ends_a_watch_and_the_next_service_goes_on_with_it(tmp_path: Path) -> None:
    test = Query(types=("test",))
    with RunningServer(tmp_path).until_killed() as server, server.client() as client:
        emit(client, "before")
        watch = client.watch(test, after={})
        place = next(watch).place
        server.stop()
        with pytest.raises(ExtauditError) as ended:
            list(watch)
    # The connection may be gone before the reason is read; then it is the transport that says so.
    assert (ended.value.code, ended.value.reason or "STOPPING") == ("UNAVAILABLE", "STOPPING")
    with RunningServer(tmp_path).until_killed() as server, server.client() as client:
        traces = client.search(Query(types=("extaudit.events.watch.end",)))
        assert [json.loads(row.json)["events"] for row in traces.rows] == [1], "its end is told of as well"
        emit(client, "after")
        assert [row.user for row in next(client.watch(test, after=place)).rows] == ["after"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def tail(server: RunningServer, *flags: str) -> subprocess.Popen[bytes]:
    command = [*RUN, "events", "tail", "--data-dir", str(server.data_dir), "--output", "jsonl", *flags]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_control_c_ends_a_tail_quietly(server: RunningServer) -> None:
    with server.client() as client, tail(server, "--since", "-1h", "--type", "test") as process:
        emit(client, "eve")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["user"] == "eve"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.strip()) == (130, b"", b"")


def test_a_reader_that_goes_away_ends_a_tail_quietly(server: RunningServer) -> None:
    with server.client() as client, tail(server, "--since", "-1h", "--type", "test") as process:
        emit(client, "eve")
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        while process.poll() is None:
            emit(client, "eve")
        assert process.stderr.read() == b""


def test_a_nightly_run_with_a_place_prints_each_event_once(server: RunningServer, tmp_path: Path) -> None:
    flags = ["--place", str(tmp_path / "place.json"), "--since", "-1h", "--no-follow", "--user", "nightly"]
    printed = []
    with server.client() as client:
        for number in range(3):
            emit(client, *["nightly"] * number)
            out, err = tail(server, *flags).communicate(timeout=60)
            assert err == b""
            printed.append(len(out.splitlines()))
    assert printed == [0, 1, 2]
