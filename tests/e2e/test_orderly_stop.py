"""A service that is told to stop says so in its log and nothing else, and ends with 0; where it can't start, why."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import pty
import signal
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from tests.e2e.doctored import QUICK_CUTS, delivered
from tests.polling import until
from tests.running_app import running_app
from tests.running_server import ANY_PORT, RUN, environment, running_server


def test_closing_the_terminal_that_it_was_started_in_stops_it(tmp_path: Path) -> None:
    """A SIGHUP otherwise has the configuration read again, and the service would live on where nobody sees it."""
    ours, theirs = pty.openpty()
    command = [*RUN, "serve", *ANY_PORT, "--data-dir", str(tmp_path / "data")]
    buffered = environment() | {"PYTHONUNBUFFERED": ""}  # what can't be written is then tried again at the very end
    with subprocess.Popen(
        ["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=buffered
    ) as served:
        try:
            os.close(theirs)
            until((tmp_path / "data" / "ready.json").exists)
            os.close(ours)
            assert served.wait(60) == 0
        finally:
            served.kill()
    assert not (tmp_path / "data" / "ready.json").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_nothing_but_log_lines_is_printed_when_it_stops(tmp_path: Path, number: signal.Signals) -> None:
    """Native libraries would print pages, were anything of theirs alive at the interpreter's end."""
    command = [*RUN, "serve", *ANY_PORT, "--data-dir", str(tmp_path / "data")]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=environment()) as served,
    ):
        try:
            until((tmp_path / "data" / "ready.json").exists)
            with Client(find_connection({}, tmp_path / "data")) as client:
                client.emit(b'{"event":"a"}')
                assert client.search(Query(types=("a",))).rows
            os.kill(served.pid, number)
            assert served.wait(60) == 0
        finally:
            served.kill()
    messages = [json.loads(line)["message"] for line in (tmp_path / "log").read_text().splitlines()]
    assert messages[-2:] == ["stopping", "stopped"]


def test_a_probe_in_the_middle_of_a_stop_is_told_that_it_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []

    def ask(address: str) -> None:
        with contextlib.closing(http.client.HTTPConnection(address, timeout=60)) as connection:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            told.append((answer.status, json.load(answer)))

    with running_app(tmp_path / "data") as app:
        stop = app.http.stop

        async def stop_behind_a_probe() -> None:
            await asyncio.to_thread(ask, app.ready["http"])
            await stop()

        monkeypatch.setattr(app.http, "stop", stop_behind_a_probe)
    assert told == [(503, {"problems": ["stopping"]})]


def test_the_process_that_makes_pages_is_gone_when_the_service_is(tmp_path: Path) -> None:
    day = datetime(2026, 11, 20, tzinfo=UTC)
    query = Query(from_time=day, to_time=day + timedelta(days=1), page_size=1)
    with running_server(tmp_path, *QUICK_CUTS) as server, server.client() as client:
        events = (f'{{"event":"a","uid":"u-{n}","time":"2026-11-20T12:00:{n}Z"}}'.encode() for n in range(10, 40))
        assert list(client.emit_stream(events))
        delivered(client)
        until(lambda: list(client.search_pages(query)) and children(server.pid))
        made = children(server.pid)
    assert not any(Path("/proc", number).exists() for number in made)


def children(pid: int) -> list[str]:
    """The processes that a process has begun and that are there."""
    found: list[str] = []
    for task in Path("/proc", str(pid), "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += (task / "children").read_text().split()
    return found


def test_where_the_port_is_taken_one_line_says_so(tmp_path: Path) -> None:
    """As above: of a start that fails, nothing of a native library is alive at the end either."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [*RUN, "serve", *ANY_PORT, "--grpc-listen", address, "--data-dir", str(tmp_path / "data")]
        done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert done.returncode == 1
    of_grpc, ours = done.stderr.decode().splitlines()
    assert "Address already in use" in of_grpc
    assert ours == f"extaudit: {address} can't be listened on; is another service there?"
