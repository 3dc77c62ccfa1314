"""A real terminal: a shell in tmux, with a screen of 120 by 40 that can be read."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.polling import until

TMUX = shutil.which("tmux")


class Terminal:
    """A shell that takes what is typed and shows what it says."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._commands = 0

    def type(self, *keys: str) -> None:
        """Type keys by tmux's names, or text."""
        self.tmux("send-keys", *keys)

    def start(self, command: Sequence[str]) -> str:
        """Type a command, to be run on an empty screen; gives the line that is shown when it has ended."""
        self._commands += 1
        end = f"-- ended {self._commands} --"
        # In two pieces, so that what is typed doesn't look like what is shown; written at once, so that no answer of
        # the terminal's comes between.
        self.tmux("send-keys", "-l", f"clear; {shlex.join(command)}; printf '\\n--'' ended {self._commands} --\\n'")
        self.tmux("send-keys", "Enter")
        return end

    def run(self, command: Sequence[str]) -> list[str]:
        """Run a command to its end; gives what it showed, without empty lines at its end."""
        end = self.start(command)
        screen = self.wait_for(end)
        return "\n".join(screen[: screen.index(end)]).rstrip("\n").split("\n")

    @property
    def screen(self) -> list[str]:
        """What is on the screen, without empty lines at its end."""
        return self.tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def wait_for(self, text: str) -> list[str]:
        """Wait until a line of the screen holds the text; gives the screen."""
        until(lambda: any(text in line for line in self.screen))
        return self.screen

    def told(self, form: str) -> str:
        """What tmux knows of the terminal, such as `#{pane_title}`."""
        return self.tmux("display-message", "-p", form).strip()

    def clipboard(self) -> str:
        """What was copied."""
        return self.tmux("list-buffers")

    def tmux(self, *arguments: str) -> str:
        """Run a tmux command."""
        command = [TMUX or "tmux", "-S", str(self._socket), "-f", os.devnull, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        return done.stdout


@contextmanager
def terminal(folder: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Open a terminal with a shell in `folder`; closed at the end of the block."""
    # A socket's path may be at most some hundred characters long.
    socket = Path("/tmp") / f"extaudit-{uuid.uuid4().hex}"
    opened = Terminal(socket)
    variables = [f"-e{name}={value}" for name, value in environment.items() if name in ("PATH", "PYTHONPATH", "HOME")]
    opened.tmux(
        "new-session", "-d", "-x", "120", "-y", "40", "-c", str(folder), *variables,
        "-eLC_ALL=C.UTF-8", "-eENV=", "sh",
    )  # fmt: skip
    try:
        opened.tmux("set-option", "-s", "set-clipboard", "on")
        opened.tmux("set-option", "-w", "allow-rename", "on")
        yield opened
    finally:
        opened.tmux("kill-server")
        socket.unlink(missing_ok=True)
