"""The events that the service refused, kept beside the spool with the reasons: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from extaudit_client.errors import Violation
from extaudit_client.spool.files import Files

NAME: Final = "refused.jsonl"


@dataclass(frozen=True, slots=True)
class RefusedEvent:
    """An event that the service refused, as it was sent, and why."""

    uid: str
    event: bytes
    violations: tuple[Violation, ...]


class DeadLetters:
    """The file; it only grows, and may name an event twice when a crash came between."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._path = folder / NAME
        self._begun = False

    def add(self, refused: Sequence[RefusedEvent]) -> None:
        """Keep events, durably.

        Raises:
            OSError: they can't be written.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = b"".join(_line(each, time) for each in refused)
        file = self._files.open_append(self._path)
        try:
            size = file.size
            if not self._begun and size and self._files.read_range(self._path, size - 1, 1) != b"\n":
                lines = b"\n" + lines  # what a crash tore stays apart
            try:
                file.append(lines)
            except OSError:
                file.truncate(size)
                raise
            file.sync()
        finally:
            file.close()
        if not self._begun:
            self._files.sync_folder(self._path.parent)
            self._begun = True


def _line(refused: RefusedEvent, time: str) -> bytes:
    violations = [{"field": each.field, "description": each.description} for each in refused.violations]
    members = {"time": time, "uid": refused.uid, "violations": violations, "event": refused.event.decode()}
    return json.dumps(members, ensure_ascii=False).encode() + b"\n"
