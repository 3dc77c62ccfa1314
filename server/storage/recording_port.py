"""The port that storages of recordings fill.

An upload is written at its end only, by one writer at a time. The storage decides where the bytes are until the upload
is complete (the embedded one writes them where they stay; another may spool a tail): what counts is that `sync` makes
everything appended durable, that `durable_offset` finds it again after any stop, and that bytes aren't copied without
need. Offsets and sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class UploadPlace:
    """Where an upload is; made by the storage when it begins, kept by the caller."""

    session_id: str
    key: str
    """Names the upload below the storage; made by the service from validated ids, never by a client."""
    handle: str = ""
    """What the storage needs beside, such as the id of a multipart upload."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload, at a fixed offset by its number."""

    number: int
    """From 1."""
    offset: int
    size: int
    sha256: str


class PartWriter(Protocol):
    """An upload open for appending. Used by one thread at a time; errors as of RecordingStorage."""

    @property
    def offset(self) -> int:
        """Bytes appended so far, durable or not."""
        ...

    def append(self, data: bytes) -> None:
        """Append; durable only after `sync`."""
        ...

    def sync(self) -> None:
        """Make everything appended durable. After an error nothing more can be appended: open the upload again."""
        ...

    def close(self) -> None:
        """Close without syncing; what was synced stays."""
        ...


class RecordingStorage(Protocol):
    """A place for recordings; nothing completed is ever overwritten or deleted.

    Every method raises StorageError when it can't be done now and is safe to try again.
    """

    storage_id: str

    def begin(self, session_id: str, key: str) -> UploadPlace:
        """Begin an upload; durable when it returns."""
        ...

    def open(self, place: UploadPlace) -> PartWriter:
        """Open for appending at the durable offset; what isn't known to be durable is cut away."""
        ...

    def durable_offset(self, place: UploadPlace) -> int:
        """How many bytes are durable."""
        ...

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """Bytes of an upload that isn't complete; fewer at its end."""
        ...

    def complete(self, place: UploadPlace, parts: Sequence[Part], custody: bytes) -> bool:
        """Make the upload the session's recording, and put its custody record beside it; both durable at return.

        Doing it again is no error.

        Returns:
            Whether it is the session's recording now; False if another is already: then it is kept aside under its key.
        """
        ...

    def set_aside(self, place: UploadPlace, custody: bytes) -> None:
        """Keep what arrived of an upload that is given up, apart from recordings."""
        ...

    def read(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """Bytes of a completed recording, the session's or one kept aside; fewer at its end."""
        ...
