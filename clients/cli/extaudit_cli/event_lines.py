"""Events as lines of a file: which bytes are sent, and which line each came from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO

MAX_LINE_BYTES = 16 * 1024 * 1024
"""The largest event that any service can be configured to take."""


class EventLines:
    """The events of a stream of lines, counted from 0, blank lines left out.

    Remembers each event and its line until it is asked for. Too long lines are put into `too_long` and not given.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._lines: dict[int, tuple[int, bytes]] = {}
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
                self._lines[index] = number, event
                index += 1
                yield event

    def line_of(self, index: int) -> int:
        """Give and forget the number of an event's line, from 1."""
        return self._lines.pop(index)[0]

    def remaining(self) -> list[int]:
        """Lines that were given and not asked for, ascending."""
        return sorted(number for number, _ in self._lines.values())

    def remaining_without_uid(self) -> int:
        """How many of these have no uid of their own: the service can't tell whether it has them already."""
        return sum(not _has_uid(event) for _, event in self._lines.values())

    def _skip_rest(self, line: bytes) -> None:
        while line and not line.endswith(b"\n"):
            line = self._file.readline(MAX_LINE_BYTES)


def _has_uid(event: bytes) -> bool:
    try:
        return "uid" in json.loads(event)
    except (ValueError, TypeError, RecursionError):
        return True  # it is refused however often it is sent
