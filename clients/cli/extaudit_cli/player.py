"""Plays a recording in a terminal: draws what was printed when it was, and does what the keys say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from extaudit_cli.text import visible
from server.recordings.playback.descriptions import DRAWN, clock, description
from server.recordings.playback.pacing import Pacing
from server.recordings.playback.session_events import PRINT, Event, Moment, moments
from server.recordings.playback.terminal_filter import TerminalFilter

_SKIP_MS: Final = 10_000
_FASTEST: Final = 64.0
_SLOWEST: Final = 0.125
_CLEAR: Final = "\x1b[2J\x1b[H"


class Keys(Protocol):
    """The keyboard, and time that passes while nobody presses a key."""

    def wait(self, seconds: float | None) -> tuple[str, float]:
        """Wait for a key, for ever if `seconds` is None.

        Returns:
            The key (`quit`, `pause`, `faster`, `slower`, `forward`, `back`, or '' when the time is over), and how many
            seconds have passed.
        """
        ...


class Player:
    """Plays one recording. Its memory is bounded by one event."""

    def __init__(self, write: Callable[[str], object], keys: Keys, pacing: Pacing, *, waits: bool) -> None:
        self._write = write
        self._keys = keys
        self._pacing = pacing
        self._waits = waits
        self._terminal = TerminalFilter()
        self._is_terminal = False
        self._back_to: int | None = None

    def play(self, read: Callable[[], Iterable[Event]]) -> int:
        """Play to the end, or until the key for it; gives how far that was, in ms. `read` gives the events anew."""
        try:
            while not self._played(read()):
                to, self._back_to = self._back_to or 0, None
                self._begin_again(to)
        finally:
            self._write(self._terminal.restoring())
        return self._pacing.position_ms

    def _begin_again(self, to_ms: int) -> None:
        self._write(self._terminal.restoring() + _CLEAR)
        self._terminal = TerminalFilter()
        self._pacing.position_ms = 0
        self._pacing.seek(to_ms)

    def _played(self, events: Iterable[Event]) -> bool:
        """Show the events; False if it must begin again, to go back."""
        for moment in moments(events):
            if self._waits and not self._wait(moment.offset_ms):
                return self._back_to is None
            self._show(moment)
            self._pacing.reached(moment.offset_ms)
        self._write(self._terminal.finish())
        return True

    def _wait(self, next_ms: int) -> bool:
        """Wait until it is time; False to stop."""
        left = self._pacing.wait_seconds(next_ms)
        while left > 0:
            key, passed = self._keys.wait(left)
            speed = self._pacing.speed
            if key and not self._obey(key, passed):
                return False
            if key == "forward":
                left = self._pacing.wait_seconds(next_ms)
            else:
                left = (left - passed) * speed / self._pacing.speed
        return True

    def _obey(self, key: str, passed: float) -> bool:
        """Do what a key says; False to stop."""
        now = self._pacing.position_ms + int(passed * 1000 * self._pacing.speed)
        match key:
            case "quit":
                return False
            case "pause":
                return self._pause(now)
            case "faster":
                self._pacing.speed = min(self._pacing.speed * 2, _FASTEST)
            case "slower":
                self._pacing.speed = max(self._pacing.speed / 2, _SLOWEST)
            case "forward":
                self._pacing.seek(now + _SKIP_MS)
            case "back":
                self._back_to = max(now - _SKIP_MS, 0)
                return False
        return True

    def _pause(self, now: int) -> bool:
        """Wait until the pause is over; False to stop."""
        while (key := self._keys.wait(None)[0]) != "pause":
            if key == "quit":
                return False
            if key == "back":
                self._back_to = max(now - _SKIP_MS, 0)
                return False
        return True

    def _show(self, moment: Moment) -> None:
        kind = moment.event.type
        if kind == PRINT:
            self._is_terminal = True
            self._write(self._terminal.feed(moment.event.data))
        elif kind == "session.start":
            self._is_terminal = True
        elif not self._is_terminal and kind not in DRAWN:
            self._write(f"{clock(moment.offset_ms)}  {visible(description(moment))}\r\n")
