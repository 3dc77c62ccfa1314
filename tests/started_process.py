"""Starts `extaudit` by forking a process that has imported everything: importing is most of what a start costs.

Each is a process of its own, as it is where a shell starts it; a test of starts as such uses `RUN`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

RUN = [sys.executable, "-c", "from extaudit_cli.main import main; main()"]
"""The command line as a process that begins from nothing."""
_LAUNCHER = """\
import array, json, os, socket, sys
asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
asking.connect({address!r})
request = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ), "module": None}}
descriptors = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
asking.sendmsg([json.dumps(request).encode()], descriptors)
asking.recv(1024)  # that it has begun
code = json.loads(asking.recv(1024))["code"]
os._exit(code if code >= 0 else 128 - code)
"""
_STARTING = threading.Lock()
_FORKS = sys.platform == "linux"  # nowhere else is it safe to fork, and possible to wait for what others forked


class StartedProcess:
    """What a test does with a process, as with one of `subprocess`."""

    def __init__(self, pid: int, told: socket.socket) -> None:
        self.pid = pid
        self._told = told
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        try:
            return self.wait(0)
        except (TimeoutError, BlockingIOError):
            return None

    def wait(self, timeout: float) -> int:
        """The same once it has ended.

        Raises:
            TimeoutError: it hasn't within so many seconds.
        """
        if self._code is None:
            self._told.settimeout(timeout)
            self._code = int(_told(self._told)["code"])
            self._told.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def start(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    out: int,
    err: int | None = None,
    given: int | None = None,
    module: str | None = None,
) -> StartedProcess | subprocess.Popen[bytes]:
    """Run the command line with these arguments in `folder`, or a module as `python -m` does.

    What it says goes to the file descriptor `out`, its errors to `err` or `out` too; its input is `given`, or empty.
    """
    err = out if err is None else err
    if not _FORKS:
        stdin = subprocess.DEVNULL if given is None else given
        command = [*(RUN if module is None else [sys.executable, "-m", module]), *arguments]
        return subprocess.Popen(command, cwd=folder, env=environment, stdin=stdin, stdout=out, stderr=err)
    request: dict[str, Any] = {"arguments": list(arguments), "folder": str(folder), "module": module}
    request["environment"] = dict(environment)
    with open(os.devnull, "rb") as empty:
        asking = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        asking.connect(_address())
        socket.send_fds(asking, [json.dumps(request).encode()], [empty.fileno() if given is None else given, out, err])
    return StartedProcess(int(_told(asking)["began"]), asking)


def run_to_end(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], given: bytes = b"", timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line with these arguments in `folder` to its end; its input is `given`.

    Raises:
        TimeoutError: it hasn't ended within so many seconds.
    """
    with TemporaryFile() as stdin, TemporaryFile() as out, TemporaryFile() as err:
        stdin.write(given)
        stdin.seek(0)
        process = start(arguments, folder, environment, out=out.fileno(), err=err.fileno(), given=stdin.fileno())
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
            process.wait(timeout)
        said = [os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0) for each in (out, err)]
    return subprocess.CompletedProcess([*RUN, *arguments], code, *said)


def write_launcher(path: Path) -> None:
    """Write a program `extaudit` for shells to start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if _FORKS:
        path.write_text(f"#!{sys.executable} -IS\n{_LAUNCHER.format(address=_address())}")
    else:
        path.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{RUN[2]}' \"$@\"\n")
    path.chmod(0o755)


def _told(by: socket.socket) -> dict[str, Any]:
    data = by.recv(1024)
    assert data, "the process that starts others has ended"
    told: dict[str, Any] = json.loads(data)
    return told


def _address() -> bytes:
    """Where the starter of this process listens: a name that Linux keeps in no file system."""
    with _STARTING:  # threads that come first together would else begin two
        return f"\0{_starter()[0]}".encode()


@functools.cache
def _starter() -> tuple[str, subprocess.Popen[bytes], socket.socket]:
    """Its name, it, and the socket whose end tells it that this process has ended."""
    name = f"extaudit-tests-{uuid.uuid4()}"
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.process_starter", name, str(theirs.fileno())]
    # The environment is only what Python itself needs: each process is given its own.
    environment = dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
    starter = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment)
    theirs.close()
    assert ours.recv(1), "the process that starts others has ended"
    return name, starter, ours
