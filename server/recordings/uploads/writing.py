"""An upload's bytes on their way into the storage, with their digests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.errors import DataLoss
from server.recordings.uploads.parts import Digests, PartSchedule
from server.storage.ports import StorageError
from server.storage.recording_port import Part, PartWriter, RecordingStorage, UploadPlace

_PIECE = 1024 * 1024
_SMALL = 64 * 1024
"""Chunks that are smaller on average are joined before they are written."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an upload was appended at some moment."""

    offset: int
    full: list[Part]
    """The parts that became full since the mark before."""
    tail: Part | None

    def joined(self, later: Mark) -> Mark:
        """This one and a later one, as the later one for both."""
        return Mark(later.offset, self.full + later.full, later.tail)


class Writing:
    """Appends to one upload. Blocks; used by one thread at a time, but `append`, `digest` and `sync` may run at once.

    It outlives the streams of one process, so that the whole's digest need not be made anew after each.
    """

    def __init__(self, storage: Callable[[], RecordingStorage], place: UploadPlace, schedule: PartSchedule) -> None:
        """`storage` gives the one that the upload belongs to; it may raise StorageError."""
        self._storage = storage
        self._place = place
        self._schedule = schedule
        self._writer: PartWriter | None = None
        self._digests: Digests | None = None
        self._is_found = False
        """Whether there are full parts that this process hasn't seen."""
        self.hashes_whole = False
        """Whether the digest of the whole is made as the bytes come: it costs a fifth of the time. Counts for what is
        opened later."""

    def open(self) -> int:
        """Open behind what is durable; gives how many bytes are.

        Raises:
            StorageError: it can't be done now.
            DataLoss: what is there isn't what was taken.
        """
        if self._writer is None:
            writer = self._storage().open(self._place)
            try:
                if self._digests is None or self._digests.offset != writer.offset:
                    self._digests = self._found(writer)
            except BaseException:
                writer.close()
                raise
            self._writer = writer
        return self._writer.offset

    def _found(self, writer: PartWriter) -> Digests:
        digests = Digests(self._schedule, writer.parts, whole=self.hashes_whole)
        self._is_found = bool(writer.parts)
        self._read_into(digests, writer.offset)
        if digests.tail() != writer.tail:
            raise DataLoss("what is kept of the upload isn't what was taken")
        return digests

    def _read_into(self, digests: Digests, end: int) -> None:
        while digests.offset < end:
            piece = self._storage().read_upload(self._place, digests.offset, min(_PIECE, end - digests.offset))
            if not piece:
                raise StorageError("the upload is shorter than what was durable of it")
            digests.update(piece)

    def append(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Append chunks that follow each other.

        Raises:
            StorageError: they aren't appended; only `give_up` may follow.
        """
        if sum(map(len, chunks)) < len(chunks) * _SMALL:
            chunks = [b"".join(chunks)]
        writer, _ = self._opened()
        writer.append(*chunks)

    def digest(self, chunks: Sequence[bytes | memoryview]) -> Mark:
        """Take chunks into the digests; gives what `sync` needs to make them durable, once they are appended too."""
        _, digests = self._opened()
        for chunk in chunks:
            digests.update(chunk)
        return Mark(digests.offset, digests.untold(), digests.tail())

    def sync(self, mark: Mark) -> None:
        """Make everything up to a mark durable.

        Raises:
            StorageError: nothing more than before is known to be durable; only `give_up` may follow.
        """
        self._opened()[0].sync(mark.full, mark.tail)

    def close(self) -> None:
        """Close; what was synced stays."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def parts(self) -> tuple[Part, ...]:
        """All parts of what was appended; the upload must be open."""
        return self._opened()[1].parts()

    def sha256(self, *, wanted: bool) -> str:
        """Digest of all that was appended, lower-case hex; '' where it isn't wanted and wasn't made as the bytes came.

        What another process began is read again in any case, to be compared.

        Raises:
            DataLoss: what is there isn't what was taken.
            StorageError: it can't be read now.
        """
        digests = self._opened()[1]
        if self._is_found or (wanted and not digests.sha256):
            again = Digests(self._schedule)
            self._read_into(again, digests.offset)
            if again.parts() != digests.parts():
                raise DataLoss("what is kept of the upload isn't what was taken")
            self._digests, self._is_found = again, False
            return again.sha256
        return digests.sha256

    def _opened(self) -> tuple[PartWriter, Digests]:
        if self._writer is None or self._digests is None:
            raise StorageError("the upload isn't open")
        return self._writer, self._digests

    def give_up(self) -> None:
        """Close after an error, and forget what is known of the upload."""
        self.close()
        self._digests = None
