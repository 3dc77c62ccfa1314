"""`extaudit serve` as a process with real sockets, certificates and disk, that can be killed and started anew.

Whatever is asked of it goes through the Python client or the command line, as from any other process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extaudit_client import Client, Connection
from extaudit_client.files import find_connection
from extaudit_client.retries import Retries

from tests.started_process import RUN as RUN
from tests.started_process import run_to_end, start

ANY_PORT = ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
_SECONDS = 120


def environment() -> dict[str, str]:
    """This process's environment without what would configure a server, and without this person's profiles."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXTAUDIT_", "AWS_", "GRPC_"))}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path), "EXTAUDIT_PROFILE": "none"}


def extaudit(
    folder: Path, *arguments: str, given: bytes = b"", variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in `folder`, as a process of its own, to its end."""
    return run_to_end(arguments, folder, environment() | dict(variables or {}), given)


class RunningServer:
    """A server that was started in `folder`: its data is in the folder `data` there, what it says in `serve.log`."""

    def __init__(self, folder: Path, *flags: str, data: str = "data") -> None:
        self.data_dir = folder / data
        self._log = folder / "serve.log"
        with self._log.open("ab") as out:
            arguments = ["serve", *ANY_PORT, "--data-dir", data, *flags]
            self._process = start(arguments, folder, environment(), out=out.fileno())

    @property
    def said(self) -> str:
        """All that servers of this folder wrote."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        """Its process, ready or not."""
        return self._process.pid

    def wait_until_ready(self) -> dict[str, Any]:
        """Give its ready-file, once it is this process's: a killed one leaves its own behind."""
        deadline = time.monotonic() + _SECONDS
        while (ready := self._ready()).get("pid") != self._process.pid:
            assert self._process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)
        return ready

    def connection(self) -> Connection:
        """As the administrator whose certificate the server made."""
        self.wait_until_ready()
        return find_connection({}, self.data_dir)

    def client(self) -> Client:
        """A client that leaves retries to its caller."""
        return Client(self.connection(), retries=Retries(attempts=0))

    def kill(self) -> None:
        """End it with kill -9."""
        self._process.kill()
        self._process.wait(_SECONDS)

    @contextmanager
    def until_killed(self) -> Iterator[RunningServer]:
        """Kill it at the end of the block, if it hasn't ended before."""
        try:
            yield self
        finally:
            self.kill()

    def stop(self) -> None:
        """End it in an orderly way."""
        self._process.terminate()
        assert self.wait() == 0, self.said

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        return self._process.wait(_SECONDS)

    def _ready(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.data_dir / "ready.json").read_bytes())
        except FileNotFoundError:
            return {}
        return found


@contextmanager
def running_server(folder: Path, *flags: str) -> Iterator[RunningServer]:
    """Serve until the end of the block, which must find the server running; it must then stop in an orderly way."""
    with RunningServer(folder, *flags).until_killed() as server:
        server.wait_until_ready()
        yield server
        server.stop()
