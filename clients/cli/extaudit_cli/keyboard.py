"""The keyboard of a terminal, a key at a time and without echo, and the terminal as it was when that is over."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import termios
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

_KEYS: Final = {
    b"q": "quit",
    b" ": "pause",
    b"+": "faster",
    b"=": "faster",
    b"-": "slower",
    b"\x1b[C": "forward",
    b"\x1bOC": "forward",
    b"\x1b[D": "back",
    b"\x1bOD": "back",
}
_KEY: Final = re.compile(b"|".join(map(re.escape, _KEYS)))
_TERMINATED: Final = 128 + signal.SIGTERM


class Keyboard:
    """Keys of the terminal that stdin is."""

    def __init__(self) -> None:
        self._typed: deque[str] = deque()

    def wait(self, seconds: float | None) -> tuple[str, float]:
        """Wait for a key that is one of ours, for ever if `seconds` is None; gives it and how long it took."""
        began = time.monotonic()
        while not self._typed:
            passed = time.monotonic() - began
            left = None if seconds is None else seconds - passed
            if left is not None and left <= 0:
                return "", passed
            if select.select([sys.stdin], [], [], left)[0]:
                typed = os.read(sys.stdin.fileno(), 64)
                self._typed += [_KEYS[each] for each in _KEY.findall(typed)] if typed else ["quit"]
        return self._typed.popleft(), time.monotonic() - began


class NoKeyboard:
    """Nobody presses a key."""

    def wait(self, seconds: float | None) -> tuple[str, float]:
        """Wait; gives no key."""
        time.sleep(seconds or 0)
        return "", seconds or 0


@contextmanager
def keyboard() -> Iterator[Keyboard | NoKeyboard]:
    """Take the keyboard, if stdin is a terminal; given back whatever happens, a SIGTERM included."""
    before_term = signal.signal(signal.SIGTERM, _end)
    try:
        if not sys.stdin.isatty():
            yield NoKeyboard()
            return
        as_it_was = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        try:
            yield Keyboard()
        finally:
            # What was typed but not read is thrown away: it must not land in the shell.
            termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, as_it_was)
    finally:
        signal.signal(signal.SIGTERM, before_term)


def _end(_signal: int, _frame: object) -> NoReturn:
    raise SystemExit(_TERMINATED)
