"""A folder that an export is written to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from extaudit_cli.exporting.outputs import Piece, Save
from extaudit_cli.exporting.owner import check_owner, claimed
from extaudit_cli.exporting.state import ExportState, OpenFile, StateProblem
from server.files import AppendFile, Files

PARTIAL_SUFFIX: Final = ".partial"
"""Added to a file's name while it isn't whole."""


class FolderOutput:
    """Writes a file for each piece that has events, under a name that says it isn't whole until it is."""

    def __init__(self, files: Files, folder: Path, state: ExportState, save: Save, head: bytes, suffix: str) -> None:
        self._files = files
        self._folder = folder
        self._save = save
        self._head = head
        self._suffix = suffix
        self._piece = Piece()
        self._file: AppendFile | None = None
        self._entry_durable = False
        self.reached = claimed(files, folder, state, save)
        self._recover()

    def begin(self, piece: Piece) -> None:
        """What is appended from now on is of this piece."""
        self._piece = piece
        opened = self.reached.open
        if opened is None:
            return
        self._reopen(opened)
        if not piece.log_id or (opened.log_id, opened.last) != (piece.log_id, piece.last):
            self._finish()  # nothing more comes for it

    def append(self, data: bytes) -> None:
        """Append bytes."""
        if not data:
            return
        if self._file is None:
            self._file = self._files.open_append(self._folder / self._opened().name)
            self._entry_durable = False
            self._file.append(self._head)
        self._file.append(data)

    def advance(self, **changes: Any) -> None:
        """Members of the state that hold with what was appended."""
        opened = self.reached.open
        if self._file is not None:
            opened = replace(opened or self._opened(), bytes=self._file.size)
        self.reached = replace(self.reached, open=opened, **changes)

    def checkpoint(self) -> None:
        """Make all that was advanced over durable."""
        if self._file is not None:
            self._file.sync()
            if not self._entry_durable:
                self._files.sync_folder(self._folder)
                self._entry_durable = True
        check_owner(self._files, self._folder, self.reached)  # who removes a folder may have begun another export there
        self._save(self.reached)

    def end(self) -> None:
        """The piece is whole."""
        self._finish()

    def close(self) -> None:
        """Write no more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _finish(self) -> None:
        """Sync the open file and give it its name: the state says first that it is whole."""
        opened = self.reached.open
        if opened is None:
            return
        tails = self.reached.tails + (not opened.log_id)
        opened = replace(opened, final=self._final_name(opened))
        self.reached = replace(self.reached, open=opened, files=self.reached.files + 1, tails=tails)
        self.checkpoint()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._give_name(opened)

    def _give_name(self, opened: OpenFile) -> None:
        if self._files.size(self._folder / opened.final) is not None:
            raise StateProblem(f"{self._folder / opened.final} is there already, and this export hasn't written it")
        self._files.rename(self._folder / opened.name, self._folder / opened.final)
        self._files.sync_folder(self._folder)
        self.reached = replace(self.reached, open=None)

    def _final_name(self, opened: OpenFile) -> str:
        """Named for what it holds, which is less than was meant if its chunk was never read to its end."""
        stem = opened.name.removesuffix(self._suffix + PARTIAL_SUFFIX)
        if opened.log_id:
            stem += f"-{self.reached.place[opened.log_id]}"
        return stem + self._suffix

    def _reopen(self, opened: OpenFile) -> None:
        self._file = self._files.open_append(self._folder / opened.name)
        if self._file.size > opened.bytes:
            self._file.truncate(opened.bytes)
        self._entry_durable = False

    def _opened(self) -> OpenFile:
        piece = self._piece
        stem = f"{piece.log_id}-{piece.first}" if piece.log_id else f"tail-{self.reached.tails + 1:06d}"
        return OpenFile(stem + self._suffix + PARTIAL_SUFFIX, 0, piece.log_id, piece.first, piece.last)

    def _recover(self) -> None:
        opened = self.reached.open
        for name in self._files.list(self._folder):
            if name.endswith(self._suffix + PARTIAL_SUFFIX) and (opened is None or name != opened.name):
                self._files.remove(self._folder / name)
        if opened is None:
            return
        if opened.final and self._files.size(self._folder / opened.name) is None:
            self._check_size(opened.final, opened)
            self._files.sync_folder(self._folder)  # the stop may have come before that
            self.reached = replace(self.reached, open=None)
            return
        self._check_size(opened.name, opened)
        if opened.final:
            self._give_name(opened)

    def _check_size(self, name: str, opened: OpenFile) -> None:
        if (self._files.size(self._folder / name) or 0) < opened.bytes:
            path = self._folder / name
            raise StateProblem(f"{path} is shorter than the export's state says: something else has changed it")
