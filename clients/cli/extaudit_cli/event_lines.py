"""Events as lines of a file: which bytes are sent, and which line each came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

MAX_LINE_BYTES = 16 * 1024 * 1024
"""The largest event that any service can be configured to take."""


class EventLines:
    """The events of a stream of lines, counted from 0, blank lines left out.

    Remembers the line of each event until it is asked for. Too long lines are put into `too_long` and not given.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: dict[int, int] = {}
        self.too_long: list[int] = []
        """Numbers of lines, from 1, that no service takes."""

    def __iter__(self) -> Iterator[bytes]:
        number = index = 0
        while line := self._file.readline(MAX_LINE_BYTES + 2):
            number += 1
            event = line.removesuffix(b"\n")
            if len(event) > MAX_LINE_BYTES:
                self.too_long.append(number)
                self._skip_rest(line)
            elif event.strip():
                self._lines[index] = number
                index += 1
                yield event

    def line_of(self, index: int) -> int:
        """Give and forget the number of an event's line, from 1."""
        return self._lines.pop(index)

    def remaining(self) -> list[int]:
        """Lines that were given and not asked for, ascending."""
        return sorted(self._lines.values())

    def _skip_rest(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._file.readline(MAX_LINE_BYTES)
