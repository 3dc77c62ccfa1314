"""The ports that storages and engines fill. Small: each says what is guaranteed and which errors mean what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from server.storage.query import ScanRequest, ScanResult


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as a listing shows it."""

    name: str
    """Name below the events prefix: `<YYYY-MM-DD>/<stem>.parquet`."""
    size: int
    revision: int
    """A number that changes whenever its bytes do; where it is a time, in ns since 1970."""
    problem: str = ""
    """Why it can't be read, in our own words; '' if nothing is known against it."""
    version: str = ""
    """Names these bytes for good, where a storage keeps versions; else ''."""
    versions: int = 1
    """How many there are of this name, marks that something was deleted among them."""
    is_deleted: bool = False
    """Whether the newest of them is such a mark: whoever asks for the name is told that nothing is there."""
    is_of_parts: bool = False
    """Whether it was put in parts: its time is then when that was begun, and the bytes may have come at any time since.
    Ours are put at once."""


@dataclass(frozen=True, slots=True)
class VersionListing:
    """What a storage that keeps versions lists under the names of one date's Parquet objects."""

    objects: Mapping[str, StoredObject]
    """By name, the newest of each."""
    is_whole: bool
    """Whether that is all: nobody bounds how many there are."""


class NameTaken(Exception):
    """An object of this name with other bytes is there already; it was not touched."""


class StorageError(Exception):
    """The storage couldn't do it now; the text is in our own words."""


class ObjectMissing(StorageError):
    """The object isn't there."""

    def __init__(self) -> None:
        super().__init__("the object isn't there")


class ObjectChanged(StorageError):
    """The object's bytes aren't those that were stored."""

    def __init__(self) -> None:
        super().__init__("its bytes aren't those that were stored")


class ObjectArchived(StorageError):
    """The object is in an archive: whoever owns the storage has to restore it before anybody can read it."""


class ObjectUnreadable(StorageError):
    """Others put something in the object's place that only they can read, encrypted by a key of theirs."""

    def __init__(self) -> None:
        super().__init__("it is encrypted by a key of somebody else")


class RecordUnreadable(StorageError):
    """What has a batch record's name can't be read by whoever wrote ours: it is larger than one can be, archived, or
    encrypted by a key of somebody else."""

    def __init__(self, words: str = "a batch record is larger than one can be") -> None:
        super().__init__(words)


class RecordArchived(RecordUnreadable, ObjectArchived):
    """The second of these."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object that is to be read, and what it is to be."""

    name: str
    sha256: str
    """Lower-case hex; '' where nobody knows."""
    bytes: int
    version: str = ""
    """Which of the object's versions, as a listing shows it; '' for the one with this digest."""
    is_bound: bool = False
    """Whether `bytes` is only what it has at most."""

    def may_have(self, size: int) -> bool:
        """Whether it may be something of this size."""
        return size <= self.bytes if self.is_bound else size == self.bytes


LocalPaths = Mapping[str, "str | StorageError"]
"""For each object's name where an engine on this machine reads it, or why it can't."""


class EventStorage(Protocol):
    """A place for batches of events. Objects are never overwritten or deleted."""

    storage_id: str
    compares_digests: bool
    """Whether what `local` gives has the digest that was asked for. Else whoever reads has to compare."""
    keeps_versions: bool
    """Whether `list_versions` says what is there. Else `date_revision` and `list_date` do, which then cost little."""

    def put(self, name: str, spool_path: str, digest: str, size: int) -> None:
        """Store the spooled bytes under `name`; durable when it returns. Putting equal bytes again is no error.

        Raises:
            NameTaken: other bytes are there under that name.
            StorageError: it couldn't be done now; safe to try again.
        """
        ...

    def put_record(self, name: str, data: bytes) -> None:
        """Store a batch record; the same rules as `put`."""
        ...

    def read_record(self, name: str, digest: str = "") -> bytes | None:
        """The bytes of a batch record, or None if there is none. With the SHA-256 that it is to have, lower-case hex, a
        copy of it will do, and a version that others hid; whoever reads compares all the same."""
        ...

    def begin_records(self, records: Mapping[str, str]) -> None:
        """Begin to have copies of batch records, digests by name, which are then read one after the other. Waits for
        none; does nothing where they are on this machine."""
        ...

    def earlier_records(self, name: str) -> Iterator[bytes]:
        """What had a batch record's name before others put something over it or deleted it, where versions are kept: a
        bounded number, oldest first, as ours was there first."""
        ...

    def list_records(self, *, hidden: bool = False) -> Iterator[str]:
        """Names of all batch records."""
        ...

    def dates(self) -> list[str]:
        """The dates that have a folder, sorted."""
        ...

    def list_date(self, date: str) -> list[StoredObject]:
        """What is there under the name of a Parquet object of one date; [] if there is nothing.

        Raises:
            StorageError: it can't be told now.
        """
        ...

    def date_revision(self, date: str) -> int:
        """A number that changes whenever an object of that date comes or goes; -1 if the date has no folder."""
        ...

    def list_versions(self, date: str) -> VersionListing:
        """What is there of one date, and what was deleted or written over. Only where versions are kept.

        Raises:
            StorageError: it can't be told now.
        """
        ...

    def sha256(self, name: str, version: str, read: Callable[[int], None] = lambda size: None) -> str:
        """The SHA-256 of a listed version, or with '' of the newest, in lower-case hex. May read all of it, and tells
        `read` how many bytes it reads. Only where versions are kept.

        Raises:
            ObjectMissing: there is none.
            StorageError: it can't be told now.
        """
        ...

    def local(self, objects: Sequence[Wanted], deadline: float | None = None) -> AbstractContextManager[LocalPaths]:
        """Have objects where an engine on this machine reads them, while the block lasts. Where they have to be fetched
        first, those that aren't there by `deadline` (of time.monotonic) have a StorageTimeout in their place."""
        ...

    def forget_copies(self) -> None:
        """Keep no copies here of what is stored elsewhere, but what is read just now; whoever needs one fetches it."""
        ...

    def local_path(self, name: str) -> str:
        """Where an engine on this machine reads the object, if it is there: outside of `local` nothing says so."""
        ...

    def size(self, name: str) -> int | None:
        """Bytes of the object as it is now; None if it isn't there."""
        ...

    def retention_days(self) -> int:
        """After how many days what is stored is deleted, as the storage's owner stated; 0 where it is kept for ever.

        Raises:
            StorageError: the state can't be read now.
        """
        ...

    def location(self) -> str:
        """Where the storage is, for a status answer."""
        ...


class ScanEngine(Protocol):
    """Reads Parquet objects. One object that can't be read never fails the scan: it is named in the result."""

    def scan(self, request: ScanRequest, *, deadline: float | None = None) -> ScanResult:
        """Run one scan.

        Raises:
            ScanTimeout: `deadline` (of time.monotonic) passed; nothing is known of what was read.
            ConditionUnsupported: `filters.condition` can't be part of the engine's query.
        """
        ...

    def fetch(self, path: str, row_number: int) -> bytes:
        """The whole JSON of one row.

        Raises:
            StorageError: the object or the row can't be read.
        """
        ...


class StorageTimeout(StorageError):
    """The time for it ran out; it may go well in more."""

    def __init__(self) -> None:
        super().__init__("the time to fetch the object ran out")


class ScanTimeout(Exception):
    """A scan ran out of time."""


class ConditionUnsupported(Exception):
    """An engine can't take `Filters.condition` into its query. The call is refused: rows are never left out after."""
