"""A service that is told to stop says so in its log and nothing else, and ends with 0."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest
from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from tests.polling import until
from tests.running_server import ANY_PORT, RUN, environment


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
