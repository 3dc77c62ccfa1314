"""Walks through a page as a reader would: its commands, literally, in one shell beside a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.docs.console_blocks import Command, Directive, differs, steps
from tests.running_server import RunningServer, environment
from tests.started_process import write_launcher

ROOT = Path(__file__).parents[2]
_END = "end-of-command-7f3a"

Hooks = Mapping[str, Callable[..., object]]
"""What directives call, with their other words."""


class Shell:
    """One bash; what it prints of a command is given back with its exit code."""

    def __init__(self, folder: Path) -> None:
        path = f"{folder / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment() | {"PATH": path, "COLUMNS": "200", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o002,  # as those have it who have a group of their own; what works with it works with 0022
        )

    def run(self, command: str) -> tuple[str, int]:
        """Run a command to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        # Its input is empty, so that nothing reads what is meant for the shell.
        self._process.stdin.write(f"{{ {command}\n}} </dev/null; echo; echo {_END} $?\n")
        self._process.stdin.flush()
        printed: list[str] = []
        for line in self._process.stdout:
            if line.startswith(_END):
                return "".join(printed).removesuffix("\n"), int(line.split()[1])
            printed.append(line)
        raise AssertionError("the shell has ended")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def make_checkout(folder: Path) -> None:
    """What a reader has after `make`, as far as the pages use it: the commands, and the sample recordings."""
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    write_launcher(commands / "extaudit")
    (commands / "python").symlink_to(sys.executable)
    samples = Path("clients", "cli", "extaudit_cli")
    (folder / samples).mkdir(parents=True)
    shutil.copytree(ROOT / samples / "sample-recordings", folder / samples / "sample-recordings")


class Servers:
    """The server that a page runs beside: at most one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.current: RunningServer | None = None

    def serve(self, data: str = "data", *flags: str) -> None:
        """Start it on a data directory."""
        os.umask(0o077)
        self.current = self._running.enter_context(RunningServer(self._folder, *flags, data=data).until_killed())
        self.current.wait_until_ready()

    def stop(self) -> None:
        """End it in an orderly way."""
        assert self.current is not None
        self.current.stop()
        self._running.close()

    def kill(self) -> None:
        """End it with kill -9, if it runs."""
        self._running.close()


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """None is left at the end of the block."""
    found = Servers(folder)
    try:
        yield found
    finally:
        found.kill()


def walk(page: Path, folder: Path, hooks: Hooks | None = None) -> int:
    """Walk through a page in `folder`; gives the number of commands.

    Directives: `serve [DATA [FLAG …]]`, `stop`, `kill`, `shell` (the reader opens another), and those of `hooks`. A
    page that begins with none has a server on `data`.
    """
    found = list(steps(page.read_text()))
    make_checkout(folder)
    with servers(folder) as server:
        known: Hooks = {"serve": server.serve, "stop": server.stop, "kill": server.kill, **(hooks or {})}
        if not isinstance(found[0], Directive):
            server.serve()
        shell = Shell(folder)
        try:
            for step in found:
                if isinstance(step, Directive) and step.words == ("shell",):
                    shell.close()
                    shell = Shell(folder)
                elif isinstance(step, Directive):
                    known[step.words[0]](*step.words[1:])
                else:
                    _check(page, step, shell)
        finally:
            shell.close()
    return sum(isinstance(step, Command) for step in found)


def _check(page: Path, command: Command, shell: Shell) -> None:
    printed, code = shell.run(command.text)
    where = f"{page.name}:{command.line}: {command.text}"
    assert code == 0, f"{where}\nended with {code}\n{printed}"
    difference = differs(command.expected, printed)
    assert not difference, f"{where}\n{difference}"
