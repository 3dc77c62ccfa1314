"""Uploads under way on the machine's own disk, each in `_uploads/<key>/`, whatever storage they end in."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from server.files import Files, ReadFile, write_durably
from server.storage.embedded.faults import in_own_words
from server.storage.embedded.part_writer import DATA, PROGRESS, open_writer, read_parts
from server.storage.recording_port import FoundUpload, Part, PartWriter, UploadPlace, UploadReader

_UPLOADS = "_uploads"
_BEGUN = "begun.json"
_HANDLE = "handle"
CUSTODY = "custody.json"
_UNREADABLE = "the upload can't be read"
_KEY = re.compile(r"[0-9a-f]{32}")


class _DataReader:
    """UploadReader of an upload's data."""

    def __init__(self, file: ReadFile) -> None:
        self._file = file
        self.close = file.close

    def read_into(self, memory: memoryview, offset: int) -> int:
        with in_own_words(_UNREADABLE):
            return self._file.read_into(memory, offset)


class UploadFolders:
    """UploadSpool in a folder. Paths are built only from ids that the service made or has checked."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files = files
        self._folder = folder
        files.make_folder(folder / _UPLOADS)

    def begin(self, session_id: str, key: str, begun: bytes) -> UploadPlace:
        """Make the upload's folder, with empty data."""
        place = UploadPlace(session_id, key)
        folder = self._upload(place)
        with in_own_words("the upload can't be begun"):
            self._files.make_folder(folder)
            for name in (DATA, PROGRESS):
                self._files.open_append(folder / name).close()
            write_durably(self._files, folder / _BEGUN, begun)
        return place

    def open(self, place: UploadPlace) -> PartWriter:
        """Open for appending behind what is durable."""
        with in_own_words("the upload can't be opened"):
            return open_writer(self._files, self._upload(place))

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """Bytes of an upload that isn't complete."""
        with in_own_words(_UNREADABLE):
            return self._files.read_range(self._upload(place) / DATA, offset, size)

    def parts(self, place: UploadPlace) -> Sequence[Part]:
        """As its progress tells; nothing is written."""
        with in_own_words(_UNREADABLE):
            return read_parts(self._files, self._upload(place))

    def open_read(self, place: UploadPlace) -> UploadReader:
        """Open its data."""
        with in_own_words(_UNREADABLE):
            return _DataReader(self._files.open_read(self._upload(place) / DATA))

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """Put the custody record into the upload's folder, unless it has one."""
        path = self._upload(place) / CUSTODY
        with in_own_words("the upload can't be ended"):
            if self._files.size(path) is None:
                write_durably(self._files, path, custody)
            return self._files.read(path)

    def decided(self, place: UploadPlace) -> bytes | None:
        """The custody record in the upload's folder, durable."""
        path = self._upload(place) / CUSTODY
        with in_own_words(_UNREADABLE):
            if self._files.size(path) is None:
                return None
            self._files.sync_folder(path.parent)
            return self._files.read(path)

    def keep_handle(self, place: UploadPlace, handle: str) -> None:
        """Put it into the upload's folder."""
        with in_own_words("the upload can't be noted"):
            write_durably(self._files, self._upload(place) / _HANDLE, handle.encode())

    def handle(self, place: UploadPlace) -> str:
        """What the upload's folder has; '' if nothing."""
        path = self._upload(place) / _HANDLE
        with in_own_words(_UNREADABLE):
            return self._files.read(path).decode() if self._files.size(path) is not None else ""

    def forget(self, place: UploadPlace) -> None:
        """Remove the upload's folder. What was linked has its other names.

        The data goes first: of what a stop leaves of the folder, nobody would remove gigabytes.
        """
        folder = self._upload(place)
        with in_own_words("the upload can't be forgotten"):
            for name in sorted(self._files.list(folder), key=lambda name: name != DATA):
                self._files.remove(folder / name)
            if place.key in self._files.list(folder.parent):
                self._files.remove_folder(folder)

    def uploads(self) -> Iterator[FoundUpload]:
        """The folders below `_uploads`; one that a stop left half made or half removed is no upload."""
        folder = self._folder / _UPLOADS
        for key in self._names_in(folder):
            if _KEY.fullmatch(key) and {_BEGUN, DATA} <= set(self._names_in(folder / key)):
                yield FoundUpload(key, "", self._content(folder / key / _BEGUN))

    def _names_in(self, folder: Path) -> list[str]:
        with in_own_words("the recordings can't be listed"), contextlib.suppress(NotADirectoryError):
            return self._files.list(folder)
        return []  # what people leave there stops nothing

    def _content(self, path: Path) -> bytes:
        """What a listed file holds; nothing if it can't be read, which stops none of the others."""
        try:
            return self._files.read(path)
        except OSError:
            return b""

    def _upload(self, place: UploadPlace) -> Path:
        return self._folder / _UPLOADS / place.key
