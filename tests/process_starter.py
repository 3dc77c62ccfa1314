"""The process that starts `extaudit` for tests: it forks itself, and has imported everything."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

_BYTES = 1 << 20


def main(name: str, life: int) -> None:
    """Fork at every request, and tell who asked how it ended, until the process that this one is for has ended."""
    import extaudit_cli
    import extaudit_client
    from extaudit_cli.serve import _flags

    import server.__main__  # noqa: F401
    from server.warming import warm_up

    for package in (extaudit_client, extaudit_cli):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    _flags()
    warm_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind(f"\0{name}")
    listening.listen(100)
    os.write(life, b".")
    with selectors.DefaultSelector() as selector:
        selector.register(life, selectors.EVENT_READ)
        selector.register(listening, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == life:
                    return
                if key.fileobj is listening:
                    _begin(listening.accept()[0], selector)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _end(*key.data)


def _begin(asking: socket.socket, selector: selectors.BaseSelector) -> None:
    data, descriptors, _, _ = socket.recv_fds(asking, _BYTES, 3)
    if not data:
        asking.close()
        return
    pid = os.fork()
    if pid == 0:
        _become(json.loads(data), descriptors)
    for each in descriptors:
        os.close(each)
    with contextlib.suppress(OSError):
        asking.send(json.dumps({"began": pid}).encode())
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asking))


def _end(pid: int, asking: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with asking, contextlib.suppress(OSError):
        asking.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())


def _become(request: dict[str, Any], descriptors: Sequence[int]) -> NoReturn:
    """Be the command line, or a module, with these arguments, to the end."""
    code = 1
    try:
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
        os.closerange(3, 256)
        sys.stdin, sys.stdout, sys.stderr = _text(0, "r"), _text(1, "w"), _text(2, "w")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        sys.argv = [request["module"] or "extaudit", *request["arguments"]]
        if request["module"]:
            runpy.run_module(request["module"], run_name="__main__")
        else:
            from extaudit_cli.main import main as run

            run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # whatever it is, what the process says has it, and it ends
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


def _text(descriptor: int, mode: str) -> Any:
    """A standard stream as Python makes it; the starter's may be of another kind."""
    lines = 1 if descriptor == 2 or os.isatty(descriptor) else -1
    errors = "backslashreplace" if descriptor == 2 else "surrogateescape" if descriptor == 0 else "strict"
    return open(descriptor, mode, buffering=lines, encoding="utf-8", errors=errors, closefd=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
