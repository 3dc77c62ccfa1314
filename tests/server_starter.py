"""Starts servers by forking a process that has imported everything: importing is most of what a start costs.

Each server is a process of its own, as it is where the command line starts it; a test of starts as such uses that.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

RUN = [sys.executable, "-c", "from extaudit_cli.main import main; main()"]
"""The command line as a process that begins from nothing."""
_BYTES = 1 << 20


class StartedProcess:
    """What a test does with a process, as with one of `subprocess`."""

    def __init__(self, starter: Starter, pid: int) -> None:
        self.pid = pid
        self._starter = starter

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._starter.ended(self.pid, 0)

    def wait(self, timeout: float) -> int:
        """The same once it has ended.

        Raises:
            TimeoutError: it hasn't within so many seconds.
        """
        code = self._starter.ended(self.pid, timeout)
        if code is None:
            raise TimeoutError(f"process {self.pid} has not ended in {timeout} s")
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with kill -9."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class Starter:
    """The process that forks, seen from the tests."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.server_starter", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=dict(environment))
        theirs.close()
        self._socket = ours
        self._codes: dict[int, int] = {}

    def start(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: int) -> StartedProcess:
        """Run the command line with these arguments; what it says goes to the file descriptor `out`."""
        request = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        self._socket.settimeout(None)
        socket.send_fds(self._socket, [json.dumps(request).encode()], [out])
        while "began" not in (told := self._told()):
            self._note(told)
        return StartedProcess(self, told["began"])

    def ended(self, pid: int, timeout: float) -> int | None:
        """The exit code of a process, waiting so many seconds for it."""
        deadline = time.monotonic() + timeout
        while pid not in self._codes:
            self._socket.settimeout(max(0.0, deadline - time.monotonic()))
            try:
                self._note(self._told())
            except (TimeoutError, BlockingIOError):
                return None
        return self._codes[pid]

    def _told(self) -> dict[str, Any]:
        data = self._socket.recv(_BYTES)
        assert data, "the process that starts servers has ended"
        told: dict[str, Any] = json.loads(data)
        return told

    def _note(self, told: dict[str, Any]) -> None:
        self._codes[told["pid"]] = told["code"]


@functools.cache
def _starter() -> Starter:
    """The one of this process."""
    # The environment is only what Python itself needs: each server is given its own.
    return Starter(dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)})


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], out: int
) -> StartedProcess | subprocess.Popen[bytes]:
    """Run the command line with these arguments in `folder`; what it says goes to the file descriptor `out`."""
    if sys.platform != "linux":  # nowhere else is it safe to fork, and possible to wait for what others forked
        return subprocess.Popen([*RUN, *arguments], cwd=folder, env=environment, stdout=out, stderr=out)
    return _starter().start(arguments, folder, environment, out)


def main(descriptor: int) -> None:
    """Fork at every request, and tell how each child ended, until nobody asks any more."""
    from extaudit_cli.main import main as _imported  # noqa: F401
    from extaudit_cli.serve import _flags

    import server.__main__  # noqa: F401
    from server.warming import warm_up

    _flags()
    warm_up()
    asked = socket.socket(fileno=descriptor)
    with selectors.DefaultSelector() as selector:
        selector.register(asked, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is asked:
                    data, (out, *_), _, _ = _received(asked)
                    if not data:
                        return
                    pid = os.fork()
                    if pid == 0:
                        _become(json.loads(data), out)
                    os.close(out)
                    asked.send(json.dumps({"began": pid}).encode())
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _, status = os.waitpid(key.data, 0)
                    told = {"pid": key.data, "code": os.waitstatus_to_exitcode(status)}
                    with contextlib.suppress(OSError):
                        asked.send(json.dumps(told).encode())


def _received(asked: socket.socket) -> tuple[bytes, list[int], int, Any]:
    data, descriptors, flags, address = socket.recv_fds(asked, _BYTES, 1)
    return data, descriptors or [-1], flags, address


def _become(request: dict[str, Any], out: int) -> NoReturn:
    """Be the command line with these arguments, to the end."""
    code = 1
    try:
        for standard, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, out), (2, out)):
            os.dup2(descriptor, standard)
        os.closerange(3, 256)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        sys.argv = ["extaudit", *request["arguments"]]
        from extaudit_cli.main import main as run

        run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # whatever it is, the log of the server has it, and the process ends
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]))
