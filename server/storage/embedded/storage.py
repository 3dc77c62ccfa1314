"""The embedded storage: a folder of Parquet files in Teleport's layout, on the machine's own disk.

`events/<YYYY-MM-DD>/<stem>.parquet`, and batch records in `events/_batches/<log_id>/<first>-<last>.json`.
Nothing in it is ever overwritten or removed by the service.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from server.files import Files, write_durably
from server.storage.embedded.faults import fault, in_own_words
from server.storage.ports import LocalPaths, NameTaken, StorageError, StoredObject, VersionListing, Wanted

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_RECORDS = "_batches"
_SUFFIX = ".parquet"


class EmbeddedStorage:
    """EventStorage in a folder. Paths are built only from names that the service made or found by listing."""

    compares_digests = False
    keeps_versions = False

    def __init__(self, files: Files, folder: Path, storage_id: str = "default") -> None:
        self.storage_id = storage_id
        self._files = files
        self._folder = folder
        files.make_folder(folder)

    def put(self, name: str, spool_path: str, digest: str, size: int) -> None:
        """Give the spooled file its name here as well: a link, so the bytes are the same and nothing is overwritten."""
        target = self._folder / name
        with in_own_words("the embedded storage can't be written"):
            self._files.make_folder(target.parent)
            try:
                self._link(Path(spool_path), target)
            except FileExistsError:
                if hashlib.sha256(self._files.read(target)).hexdigest() != digest:
                    raise NameTaken(name) from None
            self._files.sync_folder(target.parent)

    def _link(self, source: Path, target: Path) -> None:
        """Link, by way of a copy where an administrator put the storage on another disk than the spool."""
        try:
            self._files.link(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            copy = target.with_name(f".{target.name}.copy")
            write_durably(self._files, copy, self._files.read(source))
            try:
                self._files.link(copy, target)
            finally:
                self._files.remove(copy)

    def put_record(self, name: str, data: bytes) -> None:
        """Store a batch record whole; another one under its name is left alone."""
        target = self._folder / _RECORDS / name
        with in_own_words("the embedded storage can't be written"):
            self._files.make_folder(target.parent)
            kept = self._record(target)
            if kept is None:
                write_durably(self._files, target, data)
            elif kept == data:
                self._files.sync_folder(target.parent)
            else:
                raise NameTaken(name)

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        """The bytes of a batch record, or None if there is none. There are no copies of it."""
        with in_own_words("the embedded storage can't be read"):
            return self._record(self._folder / _RECORDS / name)

    def _record(self, path: Path) -> bytes | None:
        # By its name alone: a folder has the records of all batches of a log, which may be hundreds of thousands.
        try:
            return self._files.read(path)
        except FileNotFoundError:
            return None

    def begin_records(self, records: Mapping[str, str]) -> None:
        """They are on this machine."""

    def earlier_records(self, name: str) -> Iterator[bytes]:
        """None: there are no versions."""
        return iter(())

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        """Names of all batch records; none can be hidden."""
        records = self._folder / _RECORDS
        for log_id in self._files.list(records):
            with contextlib.suppress(NotADirectoryError):  # what people leave there stops nothing
                for name in self._files.list(records / log_id):
                    if name.endswith(".json"):
                        yield f"{log_id}/{name}"

    def dates(self) -> list[str]:
        """The dates that have a folder, sorted."""
        with in_own_words("the embedded storage can't be listed"):
            return [name for name in self._files.list(self._folder) if _DATE.fullmatch(name)]

    def list_date(self, date: str) -> list[StoredObject]:
        """The Parquet objects of one date, and what has the name of one; [] if there is nothing."""
        found = []
        with (
            in_own_words("the embedded storage can't be listed"),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self._folder / date) as entries,
        ):
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # removed since; the others are there all the same
                    if entry.name.endswith(_SUFFIX):
                        found.append(_stored_object(date, entry))
        return sorted(found, key=lambda item: item.name)

    def date_revision(self, date: str) -> int:
        """When the folder last changed, in ns: by its change time, since copying tools set back the other one."""
        with in_own_words("the embedded storage can't be listed"):
            try:
                return os.stat(self.local_path(date)).st_ctime_ns
            except FileNotFoundError:
                return -1

    def list_versions(self, date: str) -> VersionListing:
        """Nothing: a folder keeps no versions."""
        raise StorageError("the embedded storage keeps no versions")

    def sha256(self, name: str, version: str, read: Callable[[int], None] = lambda size: None) -> str:
        """Nothing either."""
        raise StorageError("the embedded storage keeps no versions")

    @contextlib.contextmanager
    def local(self, objects: Sequence[Wanted], deadline: float | None = None) -> Iterator[LocalPaths]:
        """Where the objects are anyway."""
        yield {item.name: self.local_path(item.name) for item in objects}

    def forget_copies(self) -> None:
        """There are none."""

    def local_path(self, name: str) -> str:
        """Where an engine on this machine reads the object."""
        return f"{self._folder}/{name}"  # every search asks for every object of its times, and joining takes longer

    def size(self, name: str) -> int | None:
        """Bytes of the object as it is now; None if it isn't there."""
        # Of the file layer: the crash tests' storages are in memory. As lean as it is since every page asks it of every
        # object of its times.
        try:
            return self._files.size(self.local_path(name))
        except NotADirectoryError:
            return None
        except OSError as error:
            raise fault("the embedded storage can't be read", error) from error

    def retention_days(self) -> int:
        """Everything is kept."""
        return 0

    def location(self) -> str:
        """The folder."""
        return str(self._folder)


def _stored_object(date: str, entry: os.DirEntry[str]) -> StoredObject:
    status = entry.stat(follow_symlinks=False)
    name = os.fsencode(entry.name).decode(errors="backslashreplace")
    problem = "isn't a regular file" if not stat.S_ISREG(status.st_mode) else ""
    if name != entry.name:
        problem = "has a name that isn't UTF-8"
    return StoredObject(f"{date}/{name}", status.st_size, status.st_ctime_ns, problem)
