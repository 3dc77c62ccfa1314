"""What a download has so far, and whether it is the recording; the same for threads and for asyncio."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from extaudit.v1 import recording_service_pb2 as pb

from extaudit_client.custody import CustodyDigest
from extaudit_client.errors import ExtauditError
from extaudit_client.recording_rows import Recording, recording_from
from extaudit_client.spool.files import DiskFiles

try:
    import fcntl
except ImportError:  # which only POSIX has
    fcntl = None  # type: ignore[assignment]

PART_SUFFIX: Final = ".part"
"""Added to a file's name while it isn't whole."""
_READ_BYTES: Final = 1024 * 1024


class DownloadState:
    """The digest of what has arrived, and what the service says of the recording."""

    def __init__(self, session_id: str, upload_id: str) -> None:
        self._session_id = session_id
        self._upload_id = upload_id
        self._digest = CustodyDigest()
        self.recording: Recording | None = None
        """What is downloaded; None until the service has told."""

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self._digest.size

    @property
    def known(self) -> Recording:
        """What is downloaded.

        Raises:
            ExtauditError: the service hasn't told.
        """
        if self.recording is None:
            raise ExtauditError("INTERNAL", "", "the service didn't say what it sent")
        return self.recording

    def request(self) -> pb.DownloadRecordingRequest:
        """Ask for what isn't there yet."""
        return pb.DownloadRecordingRequest(
            session_id=self._session_id, upload_id=self._upload_id, offset=self._digest.size
        )

    def take(self, answer: pb.DownloadRecordingResponse) -> bytes:
        """Take what came in; gives its bytes, none where it only told of the recording."""
        if answer.WhichOneof("response") == "recording":
            self._note(recording_from(answer.recording))
            return b""
        self._digest.update(answer.chunk)
        return answer.chunk

    def take_in(self, left: Iterable[bytes]) -> None:
        """Count what an interrupted download left."""
        for data in left:
            self._digest.update(data)

    def check(self) -> None:
        """Check the whole.

        Raises:
            ExtauditError: the bytes aren't the recording's.
        """
        found = self.known
        self._digest.check(size=found.bytes, sha256=found.sha256, custody=found.custody_digest)

    def _note(self, recording: Recording) -> None:
        if self.recording is not None and recording.custody_digest != self.recording.custody_digest:
            raise ExtauditError("DATA_LOSS", "", "the session's recording is another one than before")
        self.recording = recording


class PartFile:
    """The file beside the one that is wanted, made with the first bytes: a refused download leaves none behind.

    What isn't the recording's is removed, so that the next try begins anew. One download has it: bytes of a second one
    would follow those of the first, each having checked its own alone.

    Raises:
        ExtauditError: another download is writing it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._file: BinaryIO | None = None

    def __enter__(self) -> PartFile:
        with contextlib.suppress(FileNotFoundError):
            self._file = self._open(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ExtauditError) and _is_spoiled(error):
            self._part.unlink(missing_ok=True)
        if self._file is not None:
            self._file.close()

    def left(self) -> Iterator[bytes]:
        """What an interrupted download left."""
        if self._file is not None:
            self._file.seek(0)
            while data := self._file.read(_READ_BYTES):
                yield data

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None:
            try:
                self._file = self._open(os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                raise self._in_use() from None
        self._file.write(data)

    def finish(self) -> None:
        """Give it its name, durably: also after a loss of power, what has the name is whole."""
        self.write(b"")
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            if fcntl is None:
                self._file.close()  # where that isn't POSIX, an open file can't be renamed
        self._part.replace(self._path)
        if fcntl is not None:  # nor can a folder be synced there
            DiskFiles().sync_folder(self._path.parent)

    def _open(self, flags: int) -> BinaryIO:
        # Recordings hold what their session typed, so a file that is made is for its owner alone.
        def opened(path: str, usual: int) -> int:
            return os.open(path, usual & ~os.O_CREAT | flags, 0o600)

        file = open(self._part, "a+b", opener=opened)  # noqa: SIM115 (closed at the end of the block)
        if not _is_ours(file, self._part):
            file.close()
            raise self._in_use()
        return file

    def _in_use(self) -> ExtauditError:
        return ExtauditError("FAILED_PRECONDITION", "", f"another download is writing {self._part}")


def _is_ours(file: BinaryIO, path: Path) -> bool:
    """Lock a file; False where another download has it, or had it until just now."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def _is_spoiled(error: ExtauditError) -> bool:
    """Whether what is there already is of another recording: longer than this one, or not its bytes."""
    return error.code == "INVALID_ARGUMENT" or (error.code == "DATA_LOSS" and not error.reason)
