"""The embedded storage of recordings: a folder in Teleport's layout, on the machine's own disk.

`<session id>.tar` and beside it `<session id>.custody.json`; what is no session's recording under its upload's key in
`_asides/<session id>/`; uploads under way in `_uploads/<key>/`. A recording gets its name by a link, which overwrites
nothing; nothing completed is ever removed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from server.files import Files, write_durably
from server.storage.embedded.faults import in_own_words
from server.storage.embedded.part_writer import DATA, PROGRESS, open_writer
from server.storage.ports import StorageError
from server.storage.recording_port import FoundUpload, PartWriter, UploadPlace

_UPLOADS = "_uploads"
_ASIDES = "_asides"
_BEGUN = "begun.json"
_CUSTODY = "custody.json"
_RECORDING_SUFFIX = ".tar"
_CUSTODY_SUFFIX = ".custody.json"
_KEY = re.compile(r"[0-9a-f]{32}")


class EmbeddedRecordings:
    """RecordingStorage in a folder. Paths are built only from ids that the service made or has checked."""

    storage_id = "default"

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
        with in_own_words("the upload can't be read"):
            return self._files.read_range(self._upload(place) / DATA, offset, size)

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """Put the custody record into the upload's folder, unless it has one."""
        path = self._upload(place) / _CUSTODY
        with in_own_words("the upload can't be ended"):
            if self._files.size(path) is None:
                write_durably(self._files, path, custody)
            return self._files.read(path)

    def decided(self, place: UploadPlace) -> bytes | None:
        """The custody record in the upload's folder, durable."""
        path = self._upload(place) / _CUSTODY
        with in_own_words("the upload can't be read"):
            if self._files.size(path) is None:
                return None
            self._files.sync_folder(path.parent)
            return self._files.read(path)

    def complete(self, place: UploadPlace) -> bytes | None:
        """Link the custody record first, which settles whose recording it is, then the data."""
        recording, record = self._names(place, aside=False)
        data, own = (self._upload(place) / name for name in (DATA, _CUSTODY))
        with in_own_words("the recording can't be completed"):
            is_free = self._files.size(recording) is None or self._files.same(data, recording)
            if is_free and self._files.size(record) is None:
                with contextlib.suppress(FileExistsError):  # another upload came first by a moment
                    self._files.link(own, record)
            if self._files.size(record) is None:
                return None
            if self._files.same(own, record):
                self._link(data, recording)
            self._files.sync_folder(self._folder)
            return self._files.read(record)

    def keep_aside(self, place: UploadPlace) -> None:
        """Link data and custody record into the session's folder of asides."""
        aside, record = self._names(place, aside=True)
        data, own = (self._upload(place) / name for name in (DATA, _CUSTODY))
        with in_own_words("the upload can't be kept aside"):
            self._files.make_folder(aside.parent)
            self._link(data, aside)
            self._link(own, record)
            self._files.sync_folder(aside.parent)

    def forget(self, place: UploadPlace) -> None:
        """Remove the upload's folder. What was linked has its other names."""
        folder = self._upload(place)
        with in_own_words("the upload can't be forgotten"):
            for name in self._files.list(folder):
                self._files.remove(folder / name)
            if place.key in self._files.list(folder.parent):
                self._files.remove_folder(folder)

    def read(self, place: UploadPlace, offset: int, size: int, *, aside: bool) -> bytes:
        """Bytes of a recording, or of what was kept aside."""
        with in_own_words("the recording can't be read"):
            return self._files.read_range(self._names(place, aside=aside)[0], offset, size)

    def custody(self, place: UploadPlace, *, aside: bool) -> bytes | None:
        """The custody record of a recording, or of what was kept aside."""
        record = self._names(place, aside=aside)[1]
        with in_own_words("the custody record can't be read"):
            return self._files.read(record) if self._files.size(record) is not None else None

    def uploads(self) -> Iterator[FoundUpload]:
        """The folders below `_uploads`; one that a stop left half made or half removed is no upload."""
        folder = self._folder / _UPLOADS
        for key in self._names_in(folder):
            if _KEY.fullmatch(key) and {_BEGUN, DATA} <= set(self._names_in(folder / key)):
                yield FoundUpload(key, "", self._content(folder / key / _BEGUN))

    def custody_records(self) -> Iterator[tuple[str, bytes, bool]]:
        """Those beside recordings, then those of asides."""
        for session_id, path, is_aside in self._custody_paths():
            yield session_id, self._content(path), is_aside

    def count_custody_records(self) -> int:
        """By their names."""
        return sum(1 for _ in self._custody_paths())

    def _custody_paths(self) -> Iterator[tuple[str, Path, bool]]:
        for name in self._names_in(self._folder):
            if name.endswith(_CUSTODY_SUFFIX):
                yield name.removesuffix(_CUSTODY_SUFFIX), self._folder / name, False
        asides = self._folder / _ASIDES
        for session_id in self._names_in(asides):
            for name in self._names_in(asides / session_id):
                if name.endswith(_CUSTODY_SUFFIX):
                    yield session_id, asides / session_id / name, True

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

    def _link(self, source: Path, target: Path) -> None:
        if not self._files.same(source, target):
            try:
                self._files.link(source, target)
            except FileExistsError:
                raise StorageError("another file has the recording's name") from None

    def _upload(self, place: UploadPlace) -> Path:
        return self._folder / _UPLOADS / place.key

    def _names(self, place: UploadPlace, *, aside: bool) -> tuple[Path, Path]:
        """Paths of data and custody record."""
        folder, stem = self._folder, place.session_id
        if aside:
            folder, stem = folder / _ASIDES / place.session_id, place.key
        return folder / f"{stem}{_RECORDING_SUFFIX}", folder / f"{stem}{_CUSTODY_SUFFIX}"
