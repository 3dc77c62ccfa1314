"""The port that storages of recordings fill.

An upload is written at its end only, by one writer at a time. The storage decides where the bytes are until the upload
is complete (the embedded one writes them where they stay; another may spool a tail): what counts is that `sync` makes
everything appended durable, that `open` finds it again after any stop, and that bytes aren't copied without need.
Offsets and sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from server.storage.ports import StorageError


class StorageFull(StorageError):
    """There is no room for it."""


class NotReadable(StorageError):
    """It is kept where nobody can read it, and that won't change."""


class RecordingMissing(StorageError):
    """It isn't there."""


RecordName = tuple[str, str]
"""What the name of a custody record says: the session's id, and the upload's key, '' where the session's alone."""
Choose = Callable[[Sequence[RecordName]], Set[RecordName]]
"""Gives those custody records that are to be read, of as many as `NAMES_AT_ONCE`."""
NAMES_AT_ONCE = 500


def choose_all(names: Sequence[RecordName]) -> Set[RecordName]:
    """Every record is to be read."""
    return frozenset(names)


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where an upload is; made by the storage when it begins, kept by the caller."""

    session_id: str
    key: str
    """Names the upload below the storage; made by the service, never by a client."""
    handle: str = ""
    """What the storage needs beside, such as the id of a multipart upload."""


@dataclass(frozen=True, slots=True)
class FoundUpload:
    """An upload as a storage lists it."""

    key: str
    handle: str
    begun: bytes
    """What `begin` was given."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload, at a fixed offset by its number."""

    number: int
    """From 1."""
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """What has a recording's name in a storage."""

    session_id: str
    key: str
    """Of the upload that it is named after; '' where it has the session's own name."""
    sizes: tuple[int, ...]
    """Of each version, oldest first."""
    is_archived: bool = False
    """Whether one of them is in an archive: it has to be restored before it can be read."""
    is_deleted: bool = False
    """Whether it was deleted where versions are kept, so that they are there yet."""


class PartWriter(Protocol):
    """An upload open for appending. Errors as of RecordingStorage.

    Used by one thread at a time, but that `sync` may run on one while another appends: then what is appended meanwhile
    may be durable or not.
    """

    @property
    def parts(self) -> Sequence[Part]:
        """The full parts that were durable when it was opened."""
        ...

    @property
    def tail(self) -> Part | None:
        """The part that was open, as far as it was durable when it was opened; None if there was nothing of it."""
        ...

    @property
    def offset(self) -> int:
        """Bytes appended so far, durable or not; when it is opened, those that are durable."""
        ...

    def append(self, *chunks: bytes | memoryview) -> None:
        """Append them, one behind the other; durable only after `sync`. After an error nothing more can be appended:
        open the upload again."""
        ...

    def sync(self, full: Sequence[Part], tail: Part | None) -> None:
        """Make everything up to the end of `tail`, or of `full`, durable, with its digests.

        Args:
            full: the parts that have become full since the last call.
            tail: the part that was open then, as far as it was appended.

        After an error nothing is known of what is durable, and nothing more can be appended: open the upload again.
        """
        ...

    def close(self) -> None:
        """Close without syncing; what was synced stays."""
        ...


class UploadReader(Protocol):
    """An upload open for reading. Errors as of RecordingStorage."""

    def read_into(self, memory: memoryview, offset: int) -> int:
        """Fill `memory` with what is from `offset` on; gives how many bytes that is, fewer at the upload's end."""
        ...

    def close(self) -> None:
        """Close."""
        ...


class UploadSpool(Protocol):
    """Uploads under way on this machine. Errors as of RecordingStorage."""

    def begin(self, session_id: str, key: str, begun: bytes) -> UploadPlace:
        """Begin an upload and keep `begun`, JSON that tells whose it is, beside it; durable when it returns."""
        ...

    def open(self, place: UploadPlace) -> PartWriter:
        """Open for appending behind what is durable; what follows isn't known to be, and is cut away."""
        ...

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """Bytes of an upload that isn't complete; fewer at its end."""
        ...

    def parts(self, place: UploadPlace) -> Sequence[Part]:
        """All parts of an upload that nothing is appended to any more, the last as far as it has come."""
        ...

    def open_read(self, place: UploadPlace) -> UploadReader:
        """Open an upload that isn't complete for reading many times."""
        ...

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """Keep the custody record with which the upload ends, durably; the first one that is given stays.

        Returns:
            The one that is kept.
        """
        ...

    def decided(self, place: UploadPlace) -> bytes | None:
        """What `decide` keeps; None if the upload goes on."""
        ...

    def keep_handle(self, place: UploadPlace, handle: str) -> None:
        """Keep what a storage elsewhere knows the upload by, durably, in the place of what was kept before."""
        ...

    def handle(self, place: UploadPlace) -> str:
        """What `keep_handle` keeps; '' if nothing."""
        ...

    def forget(self, place: UploadPlace) -> None:
        """Forget the upload as such. Nothing may need it: it is kept as a recording or aside, or equal to one."""
        ...

    def uploads(self) -> Iterator[FoundUpload]:
        """Every upload that isn't forgotten. What can't be read of one is empty."""
        ...


class RecordingStorage(Protocol):
    """A place for recordings; nothing completed is ever overwritten or deleted.

    Every method raises StorageError when it can't be done now (StorageFull for want of room) and is safe to try again.
    A custody record is JSON that the service makes; the storage keeps it beside the recording, byte for byte, or with a
    member `stored` more that tells where the recording is.
    """

    storage_id: str

    def begin(self, session_id: str, key: str, begun: bytes) -> UploadPlace:
        """As UploadSpool."""
        ...

    def open(self, place: UploadPlace) -> PartWriter:
        """As UploadSpool."""
        ...

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """As UploadSpool."""
        ...

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """As UploadSpool."""
        ...

    def decided(self, place: UploadPlace) -> bytes | None:
        """As UploadSpool."""
        ...

    def complete(self, place: UploadPlace) -> bytes | None:
        """Make a decided upload the session's recording unless there is one, its custody record beside it.

        Durable at return. Doing it again is no error.

        Returns:
            The custody record of what is the session's recording now; None if others put a file there that has none.
        """
        ...

    def complete_beside(self, place: UploadPlace) -> bool:
        """Make a decided upload the session's recording although what others put there has the session's name.

        Durable at return. Doing it again is no error.

        Returns:
            False, and nothing is done, where nobody else is to write.
        """
        ...

    def keep_aside(self, place: UploadPlace) -> None:
        """Keep a decided upload and its custody record apart, under its key: it isn't the session's recording.

        Durable at return. Doing it again is no error.
        """
        ...

    def keep_aborted(self, place: UploadPlace) -> None:
        """Keep a decided upload that was given up, and its custody record. As `keep_aside`, but that a storage may keep
        the bytes where `read` doesn't get at them."""
        ...

    def forget(self, place: UploadPlace) -> None:
        """As UploadSpool."""
        ...

    def read(self, place: UploadPlace, offset: int, size: int, *, aside: bool) -> bytes:
        """Bytes of what was completed or kept aside; fewer at its end. RecordingMissing where it isn't there, and
        NotReadable of what was aborted, where the storage has it so. ObjectArchived: see there."""
        ...

    def stored(self) -> Iterator[StoredRecording]:
        """Everything that is named like a recording, or like one kept aside, whoever put it there; none is read."""
        ...

    def checksum(self, place: UploadPlace, *, aside: bool) -> str | None:
        """The custody digest of what was completed or kept aside, as the storage itself knows it; '' where it doesn't,
        so that it must be read for it, and None where the bytes aren't there."""
        ...

    def custody(self, place: UploadPlace, *, aside: bool) -> bytes | None:
        """The custody record of what was completed or kept aside; None if there is none."""
        ...

    def retention_days(self) -> int:
        """After how many days what is stored is deleted, as the storage's owner stated; 0 where it is kept for ever."""
        ...

    def uploads(self) -> Iterator[FoundUpload]:
        """As UploadSpool; nothing but this machine is asked."""
        ...

    def custody_records(self, choose: Choose = choose_all) -> Iterator[tuple[RecordName, bytes, bool]]:
        """The name of every custody record that is chosen, the record, and whether it is of what was kept aside.
        Nothing is kept of the others: whoever can write there can put as many as they like.

        A record that can't be read is empty.
        """
        ...
