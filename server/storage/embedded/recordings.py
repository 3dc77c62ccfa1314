"""The embedded storage of recordings: a folder in Teleport's layout, on the machine's own disk.

`<session id>.tar` and beside it `<session id>.custody.json`; what is no session's recording under its upload's key in
`_asides/<session id>/`; uploads under way in `_uploads/<key>/`. A recording gets its name by a link, which overwrites
nothing; nothing completed is ever removed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from server.files import Files
from server.storage.embedded.faults import in_own_words
from server.storage.embedded.part_writer import DATA, open_writer
from server.storage.embedded.upload_folders import CUSTODY, UploadFolders
from server.storage.ports import StorageError
from server.storage.recording_port import (
    NAMES_AT_ONCE,
    Choose,
    PartWriter,
    RecordingMissing,
    RecordName,
    StoredRecording,
    UploadPlace,
    choose_all,
)

_ASIDES = "_asides"
_RECORDING_SUFFIX = ".tar"
_CUSTODY_SUFFIX = ".custody.json"


class EmbeddedRecordings(UploadFolders):
    """RecordingStorage in a folder. Paths are built only from ids that the service made or has checked."""

    def __init__(self, files: Files, folder: Path, storage_id: str = "default") -> None:
        super().__init__(files, folder)
        self.storage_id = storage_id

    def open(self, place: UploadPlace) -> PartWriter:
        """Nothing is sent on from here."""
        with in_own_words("the upload can't be opened"):
            return open_writer(self._files, self._upload(place), past_memory=True)

    def complete(self, place: UploadPlace) -> bytes | None:
        """Link the custody record first, which settles whose recording it is, then the data."""
        recording, record = self._names(place, aside=False)
        data, own = (self._upload(place) / name for name in (DATA, CUSTODY))
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

    def complete_beside(self, place: UploadPlace) -> bool:
        """Never: what lies here was put by the service, or by who administers it."""
        return False

    def keep_aside(self, place: UploadPlace) -> None:
        """Link data and custody record into the session's folder of asides."""
        aside, record = self._names(place, aside=True)
        data, own = (self._upload(place) / name for name in (DATA, CUSTODY))
        with in_own_words("the upload can't be kept aside"):
            self._files.make_folder(aside.parent)
            self._link(data, aside)
            self._link(own, record)
            self._files.sync_folder(aside.parent)

    def keep_aborted(self, place: UploadPlace) -> None:
        """As what is kept aside."""
        self.keep_aside(place)

    def read(self, place: UploadPlace, offset: int, size: int, *, aside: bool) -> bytes:
        """Bytes of a recording, or of what was kept aside."""
        with in_own_words("the recording can't be read"):
            try:
                return self._files.read_range(self._names(place, aside=aside)[0], offset, size)
            except FileNotFoundError:
                raise RecordingMissing("the recording isn't there") from None

    def custody(self, place: UploadPlace, *, aside: bool) -> bytes | None:
        """The custody record of a recording, or of what was kept aside."""
        record = self._names(place, aside=aside)[1]
        with in_own_words("the custody record can't be read"):
            return self._files.read(record) if self._files.size(record) is not None else None

    def stored(self) -> Iterator[StoredRecording]:
        """The session's own, then asides."""
        for name in self._names_in(self._folder):
            if name.endswith(_RECORDING_SUFFIX):
                yield from self._sized(self._folder / name, name.removesuffix(_RECORDING_SUFFIX), "")
        asides = self._folder / _ASIDES
        for session_id in self._names_in(asides):
            for name in self._names_in(asides / session_id):
                if name.endswith(_RECORDING_SUFFIX):
                    path = asides / session_id / name
                    yield from self._sized(path, session_id, name.removesuffix(_RECORDING_SUFFIX))

    def _sized(self, path: Path, session_id: str, key: str) -> Iterator[StoredRecording]:
        with in_own_words("the recordings can't be listed"):
            size = self._files.size(path)
        if size is not None:
            yield StoredRecording(session_id, key, (size,))

    def checksum(self, place: UploadPlace, *, aside: bool) -> str | None:
        """A file system knows none."""
        with in_own_words("the recording can't be read"):
            return None if self._files.size(self._names(place, aside=aside)[0]) is None else ""

    def retention_days(self) -> int:
        """Everything is kept."""
        return 0

    def custody_records(self, choose: Choose = choose_all) -> Iterator[tuple[RecordName, bytes, bool]]:
        """Those beside recordings, whose names have no key, then those of asides."""
        found = self._custody_names()
        while some := list(islice(found, NAMES_AT_ONCE)):
            chosen = choose(some)
            for name in (each for each in some if each in chosen):
                is_aside = bool(name[1])
                yield name, self._content(self._names(UploadPlace(*name), aside=is_aside)[1]), is_aside

    def _custody_names(self) -> Iterator[RecordName]:
        for name in self._names_in(self._folder):
            if name.endswith(_CUSTODY_SUFFIX):
                yield name.removesuffix(_CUSTODY_SUFFIX), ""
        asides = self._folder / _ASIDES
        for session_id in self._names_in(asides):
            for name in self._names_in(asides / session_id):
                if key := name.removesuffix(_CUSTODY_SUFFIX) if name.endswith(_CUSTODY_SUFFIX) else "":
                    yield session_id, key

    def _link(self, source: Path, target: Path) -> None:
        if not self._files.same(source, target):
            try:
                self._files.link(source, target)
            except FileExistsError:
                raise StorageError("another file has the recording's name") from None

    def _names(self, place: UploadPlace, *, aside: bool) -> tuple[Path, Path]:
        """Paths of data and custody record."""
        folder, stem = self._folder, place.session_id
        if aside:
            folder, stem = folder / _ASIDES / place.session_id, place.key
        return folder / f"{stem}{_RECORDING_SUFFIX}", folder / f"{stem}{_CUSTODY_SUFFIX}"
