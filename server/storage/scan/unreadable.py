"""Objects found unreadable, remembered while their files stay as they are: finding out takes reading them in full."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from threading import Lock

from server.storage.query import ScanObject, UnreadableObject

_REMEMBERED = 10_000

FileState = tuple[int, int, int]


def file_state(path: str) -> FileState | None:
    """What changes when a file's bytes do; None if there is no such file."""
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        return found.st_ino, found.st_size, found.st_ctime_ns
    return None


class KnownUnreadable:
    """The memory of one engine. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[FileState, UnreadableObject]] = OrderedDict()

    def among(self, objects: Sequence[ScanObject]) -> dict[str, UnreadableObject]:
        """By key, those of `objects` that were found unreadable and whose files are as they were."""
        with self._lock:
            known = [(item, self._known[item.path]) for item in objects if item.path in self._known]
        same = [(item.key, found) for item, (state, found) in known if file_state(item.path) == state]
        return {key: replace(found, key=key) for key, found in same}

    def remember(
        self,
        states: Mapping[str, FileState | None],
        objects: Sequence[ScanObject],
        found: Mapping[str, UnreadableObject],
    ) -> None:
        """Keep what was found of `objects`; `states`, by path, are of before it was looked for."""
        with self._lock:
            for item in objects:
                state = states[item.path]
                if item.key in found and state is not None:
                    self._known[item.path] = state, found[item.key]
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
