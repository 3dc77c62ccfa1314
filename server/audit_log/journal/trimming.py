"""Trimming: segments leave the journal once their batches are confirmed, but never the newest without another."""

from __future__ import annotations

import errno
from pathlib import Path

from server.audit_log.journal.segments import LOG_ID, segment_name, segment_names
from server.files import Files

DAMAGED = "damaged"
"""Folder beside the logs where segments with bad bytes are kept for people to look at."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Trimming:
    """Removes segments of every log in the journal's folder, one call at a time."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        self._done: set[tuple[str, str]] = set()
        """Log and name of segments that are there yet, of which nothing is needed but what the newest tells."""

    def trim(self, log_id: str, first: int, *, damaged: bool, current: str, following: int) -> None:
        """Remove a segment that nothing more is needed of; a damaged one is set aside as well.

        The newest segment stays as long as any other is needed: a start learns from it which log takes events and how
        far it got, and would learn wrongly from an older one. It goes with the last of the others, or once there is a
        newer one: the one that begins with `following`, empty as yet where nothing came since, of the log `current`,
        which takes events. So that log always has a segment, and one without has lost what it had.
        """
        name = segment_name(first)
        if damaged:
            self._set_aside(log_id, name)
        self._done.add((log_id, name))
        # Oldest first and each durably: no stop may leave an older one without the newest.
        for log, segment in self._removable(current, following):
            self._files.remove(self._folder / log / segment)
            self._files.sync_folder(self._folder / log)
        for log in self._files.list(self._folder):
            if LOG_ID.fullmatch(log) and log != current and not self._files.list(self._folder / log):
                self._files.remove_folder(self._folder / log)

    def _removable(self, current: str, following: int) -> list[tuple[str, str]]:
        logs = [name for name in self._files.list(self._folder) if LOG_ID.fullmatch(name)]
        there = [(log, name) for log in logs for name in segment_names(self._files, self._folder / log)]
        self._done.intersection_update(there)
        stays = there[-1:]
        if len(there) == len(self._done):
            try:
                self._begin(current, following)
                stays = []
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # It stays until the next time.
        return [segment for segment in there if segment in self._done and segment not in stays]

    def _begin(self, log_id: str, first: int) -> None:
        """Have the segment that comes next durably there; the journal may begin to write it at the same time."""
        self._files.open_append(self._folder / log_id / segment_name(first)).close()
        self._files.sync_folder(self._folder / log_id)

    def _set_aside(self, log_id: str, name: str) -> None:
        folder, aside = self._folder / log_id, self._folder / DAMAGED / log_id
        if name in self._files.list(folder):
            self._files.make_folder(aside)
            if name not in self._files.list(aside):
                self._files.link(folder / name, aside / name)
            self._files.sync_folder(aside)
