"""The journal's writing side: group commits, cuts, and closing for good when a sync fails."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from server.audit_log.cuts import Cut
from server.audit_log.journal.frames import FrameType, GroupFrames, encode, encode_commit
from server.audit_log.journal.segments import FORMAT, segment_name
from server.audit_log.journal.trimming import Trimming
from server.audit_log.tail import CommitGroup
from server.errors import Unavailable
from server.files import AppendFile, Files, write_durably


def new_log_id() -> str:
    """A name for a new log: 12 hex digits of milliseconds and 8 of chance, so that names sort by age."""
    return f"{time.time_ns() // 1_000_000:012x}{os.urandom(4).hex()}"


def encode_header(log_id: str, first: int, storage: str) -> bytes:
    """What a segment begins with; once more in one that has no event yet, it marks another storage for it."""
    header = {"format": FORMAT, "log_id": log_id, "first": first, "storage": storage}
    return encode(FrameType.SEGMENT, orjson.dumps(header)) + encode_commit(0, 0, 1)


def _nothing(_seconds: float) -> None:
    """For who doesn't measure."""


class JournalClosed(Unavailable):
    """The journal takes nothing more until a restart: what is durable is no longer known."""

    reason = "JOURNAL_CLOSED"

    def __init__(self) -> None:
        super().__init__("the journal is closed after a failed write or sync; a restart recovers it", retry_after=30)


class Journal:
    """One log, written by one thread at a time.

    A commit is durable when it returns. When it raises, nothing of it was acknowledged and nothing of it will be given
    sequence numbers again by this object; whether it is found after a restart is open.
    """

    def __init__(self, files: Files, folder: Path, log_id: str, next_sequence: int, storage: str) -> None:
        self._files = files
        self._folder = folder / log_id
        self._trimming = Trimming(files, folder)
        self.log_id = log_id
        self.storage = storage
        """Where the events of the open segment belong, as its last marker says."""
        self.next_sequence = next_sequence
        self.segment_first = next_sequence
        self.closed = False
        self.failing = False
        """True from a write that failed to the next one that goes well."""
        self.on_sync: Callable[[float], None] = _nothing
        """Is told how many seconds each sync took, on the journal's thread."""
        self._file: AppendFile | None = None
        self._frames = GroupFrames()

    @property
    def segment_bytes(self) -> int:
        """Bytes of the open segment."""
        return self._file.size if self._file is not None else 0

    def resume(self, name: str, whole: int, recommit: tuple[int, int, int], *, is_cut: bool) -> None:
        """Go on in a segment that recovery has read, cut back to `whole` bytes and durable from here on.

        Args:
            name: the segment's file name.
            whole: its readable bytes.
            recommit: first and last sequence and number of the whole frames at its end that lack a commit; 0 if none.
            is_cut: nothing more goes into it.
        """
        path = self._folder / name
        self.segment_first = int(name.split(".")[0])
        content = self._files.read(path)[:whole] + (encode_commit(*recommit) if recommit[2] else b"")
        # Written anew, not synced again: after a failed sync the kernel takes pages for clean that are on no disk, and
        # what is read here would be acknowledged as known.
        write_durably(self._files, path, content)
        self._file = self._files.open_append(path)
        if is_cut:
            self._close_segment()

    def commit(self, group: CommitGroup) -> None:
        """Make a group of events durable. The first has `next_sequence`, and the others follow without gap.

        Raises:
            JournalClosed: now, or by an earlier failure.
            Unavailable: the group couldn't be written (a full disk); it is cut back and the journal is as before.
        """
        self._write(self._frames.encode(group))
        self.next_sequence = group.blocks[-1].last + 1

    def cut(self) -> Cut | None:
        """End the open segment with a durable cut of all its events; None if it has none."""
        if self.next_sequence == self.segment_first:
            return None
        cut = Cut(self.log_id, self.segment_first, self.next_sequence - 1, self.storage)
        self.record_cut(cut)
        self._close_segment()
        return cut

    def mark(self, storage: str) -> None:
        """Have the events from here on belong to another storage: durable when it returns.

        What the open segment has must be cut before. When it raises, events belong where they did, and whether the
        marker is found after a restart is open; no event stands behind it.

        Raises:
            JournalClosed, Unavailable: as of `commit`.
        """
        if self.next_sequence != self.segment_first:
            raise RuntimeError("a segment is of one storage, and this one has events")
        before, was_open = self.storage, self._file is not None
        self.storage = storage
        try:
            self._write(encode_header(self.log_id, self.next_sequence, storage))
        except BaseException:
            self.storage = before
            if not was_open:
                self._close_segment()  # its header says what isn't so; it is begun anew with the next write
            raise

    def record_cut(self, cut: Cut) -> None:
        """Make a cut durable; also of an older log, whose own segments are written no more."""
        self._write(encode(FrameType.CUT, cut.encode()) + encode_commit(0, 0, 1))

    def try_writing(self) -> None:
        """Write what means nothing, to learn whether a failing disk is well again.

        Raises:
            Unavailable: it isn't.
        """
        self._write(encode_commit(0, 0, 0))

    def stop(self) -> None:
        """Record an orderly stop, if that can be written, and close."""
        if not self.closed:
            with contextlib.suppress(Unavailable):
                self._write(encode(FrameType.STOP, b"") + encode_commit(0, 0, 1))
        self._close_segment()
        self.closed = True

    def trim(self, log_id: str, first: int, *, damaged: bool = False) -> None:
        """Remove a segment whose batch is confirmed, of this log or an older one; a damaged one is set aside as well.

        The newest stays as long as any other does, and until there is another. The only method that may run beside the
        others: it touches no file that they write, but for beginning the next one, which has nothing then.
        """
        self._trimming.trim(log_id, first, damaged=damaged, current=self.log_id, following=self.segment_first)

    def _write(self, data: bytes | memoryview) -> None:
        file = self._open_segment()
        size = file.size
        try:
            file.append(data)
        except OSError as error:
            self._cut_back(file, size)
            raise self._refusal() from error
        self._sync(file)
        self.failing = False

    def _refusal(self) -> Unavailable:
        self.failing = True
        return Unavailable("the journal can't be written", reason="DISK_FLOOR", retry_after=5)

    def _cut_back(self, file: AppendFile, size: int) -> None:
        """Undo a short write before anything else is appended."""
        try:
            file.truncate(size)
        except OSError as error:
            self._close_for_good()
            raise JournalClosed from error

    def _sync(self, file: AppendFile) -> None:
        started = time.perf_counter()
        try:
            file.sync()
        except OSError as error:
            # The kernel may have dropped the dirty pages: a second sync could say yes to data that is gone.
            self._close_for_good()
            raise JournalClosed from error
        self.on_sync(time.perf_counter() - started)

    def _open_segment(self) -> AppendFile:
        if self.closed:
            raise JournalClosed
        if self._file is None:
            self._file = self._begin_segment()
        return self._file

    def _begin_segment(self) -> AppendFile:
        try:
            self._files.make_folder(self._folder)
            file = self._files.open_append(self._folder / segment_name(self.next_sequence))
        except OSError as error:
            if error.errno == errno.EIO:  # a sync of a folder's entry may have failed, and must not be tried again
                self._close_for_good()
                raise JournalClosed from error
            raise self._refusal() from error
        try:
            self._write_header(file)
        except BaseException:
            file.close()
            raise
        self.segment_first = self.next_sequence
        return file

    def _write_header(self, file: AppendFile) -> None:
        try:
            file.truncate(0)  # what an earlier attempt left holds nothing committed
            file.append(encode_header(self.log_id, self.next_sequence, self.storage))
        except OSError as error:
            raise self._refusal() from error
        try:
            # The content is synced with what is written next: without it the header is of no use.
            self._files.sync_folder(self._folder)
        except OSError as error:
            self._close_for_good()
            raise JournalClosed from error

    def _close_segment(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self.segment_first = self.next_sequence

    def _close_for_good(self) -> None:
        self.closed = True
        if self._file is not None:
            self._file.close()
            self._file = None
