"""Where an export is written to, always together with how far it is durable."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from extaudit_cli.exporting.state import ExportState, OpenFile, StateProblem
from extaudit_cli.output import for_stdout, sync_stdout
from server.files import Files

Save = Callable[[ExportState], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """What belongs into one file where a folder is written: a chunk's events, or the next ones of no chunk."""

    log_id: str = ""
    first: int = 0
    last: int = 0


class Output(Protocol):
    """Takes bytes. What was appended counts only once `advance` says what it was, and is durable after `checkpoint`."""

    @property
    def reached(self) -> ExportState:
        """How far it is, durable or not."""
        ...

    def begin(self, piece: Piece) -> None:
        """What is appended from now on is of this piece."""
        ...

    def append(self, data: bytes) -> None:
        """Append bytes."""
        ...

    def advance(self, **changes: Any) -> None:
        """Members of the state that hold with what was appended."""
        ...

    def checkpoint(self) -> None:
        """Make all that was advanced over durable."""
        ...

    def end(self) -> None:
        """The piece is whole."""
        ...

    def close(self) -> None:
        """Write no more; nothing is made durable by it."""
        ...


class StreamOutput:
    """Writes to stdout; the state, if one is kept, is saved after the bytes are out."""

    def __init__(self, state: ExportState, save: Save | None, head: bytes) -> None:
        self.reached = state
        self._save = save
        self._head = b"" if state.events else head

    def begin(self, piece: Piece) -> None:
        """All is one stream."""

    def append(self, data: bytes) -> None:
        """Append bytes."""
        left = memoryview(for_stdout(self._head + data) if data else b"")
        while left:
            left = left[os.write(sys.stdout.fileno(), left) :]
            self._head = b""

    def advance(self, **changes: Any) -> None:
        """Members of the state that hold with what was appended."""
        self.reached = replace(self.reached, **changes)

    def checkpoint(self) -> None:
        """Make all that was advanced over durable; of what is in a pipe nobody can tell."""
        if self._save is not None:
            sync_stdout()
            self._save(self.reached)

    def end(self) -> None:
        """The piece is whole."""
        self.checkpoint()

    def close(self) -> None:
        """Stdout isn't ours to close."""


class FileOutput:
    """Writes one file, which grows in place."""

    def __init__(self, files: Files, path: Path, state: ExportState, save: Save, head: bytes) -> None:
        self._save = save
        durable = state.open.bytes if state.open else 0
        if state.open and state.open.name != path.name:
            raise StateProblem(f"the state is of an export to {state.open.name}, not to {path.name}")
        size = files.size(path) or 0
        if size < durable:
            raise StateProblem(f"{path} is shorter than the export's state says: something else has changed it")
        if size and state.open is None:  # it is in the state before it has a byte
            raise StateProblem(
                f"{path} is there already, and this export's state doesn't say that it has written it: "
                "remove the file to have all of it exported, or give another --out and --state"
            )
        self._path = path
        self._files = files
        self.reached = replace(state, files=1)
        self._file = files.open_append(path)
        try:
            if self._file.size > durable:
                self._file.truncate(durable)
            files.sync_folder(path.parent)
            self._number = files.number(path)
            if state.open is None:
                self.advance()
                save(self.reached)
            if not durable:
                self._file.append(head)
        except OSError:
            self._file.close()
            raise
        self.advance()

    def begin(self, piece: Piece) -> None:
        """All is one file."""

    def append(self, data: bytes) -> None:
        """Append bytes."""
        if data:
            self._file.append(data)

    def advance(self, **changes: Any) -> None:
        """Members of the state that hold with what was appended."""
        self.reached = replace(self.reached, open=OpenFile(self._path.name, self._file.size), **changes)

    def checkpoint(self) -> None:
        """Make all that was advanced over durable."""
        self._file.sync()
        self._check_there()
        self._save(self.reached)

    def end(self) -> None:
        """The piece is whole."""
        self.checkpoint()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _check_there(self) -> None:
        """Who removes the file may have begun another export to it, whose state this one must not write over."""
        try:
            there = self._files.number(self._path) == self._number
        except FileNotFoundError:
            there = False
        if not there:
            raise StateProblem(f"{self._path} was removed or replaced while it was written; nothing more is written")
