"""The spool: events go in at one end, durable before the caller is told, and stay until they are settled."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Final

from extaudit_client.spool.appending import Appending
from extaudit_client.spool.errors import SpoolClosed, SpoolFailed, SpoolFull
from extaudit_client.spool.files import Files
from extaudit_client.spool.frames import HEADER_BYTES, frame
from extaudit_client.spool.marker import Marker
from extaudit_client.spool.segments import Segment, found_segments, let_go

_MIN_SEGMENT: Final = 64 * 1024
_MAX_SEGMENT: Final = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fill:
    """How full a spool is. `queued` counts events that aren't settled, `bytes` are those of the files."""

    queued: int
    bytes: int
    cut_bytes: int
    """Bytes at the end that a crash left unfinished, cut off at the opening."""


class Spool:
    """Safe to use from several threads; one process may have it open.

    `max_bytes` bounds the files. With `durably` an event is on the disk when `append` returns, else the operating
    system has it: it survives the process then, and not a loss of power.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        *,
        max_bytes: int,
        durably: bool = True,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        files.make_folder(folder)
        self._files = files
        self._durably = durably
        self._now_ms = now_ms
        self._max_bytes = max_bytes
        self.changed = Condition()
        """Notified of every change of what is committed, settled, or closed."""
        self._marker = Marker(files, folder)
        self.segments, self._cut = found_segments(files, folder, durably=durably)
        """In the order of their numbers; only to be looked at with `changed` held."""
        if durably:
            files.sync_folder(folder)
        # Files go in order, and only when all in them is settled, whatever became of the marker.
        self.settled = max(self._marker.number, *(segment.first - 1 for segment in self.segments[:1]), 0)
        self.committed = max((segment.last for segment in self.segments), default=0)
        self.committed = max(self.committed, self.settled)
        self._written = self.committed
        self._bytes = sum(segment.size for segment in self.segments)
        segment_bytes = min(max(max_bytes // 8, _MIN_SEGMENT), _MAX_SEGMENT)
        self._appending = Appending(files, folder, segment_bytes, durably=durably)
        self._syncing = False
        self._failure: OSError | None = None
        self.closed = False
        with self.changed:
            self._remove_settled()

    def append(
        self, events: Sequence[bytes], timeout: float | None, given_up: Callable[[], bool] = lambda: False
    ) -> None:
        """Put events in, all or none; waits up to `timeout` seconds for room, for ever with None, until it is given up.

        Never called where a signal handler may raise: what is written in part, or isn't counted, spoils what follows.

        Raises:
            SpoolFull, SpoolClosed: none of them is in.
            SpoolFailed: none is known to be; what is found at the next opening is there all the same.
        """
        size = sum(HEADER_BYTES + len(event) for event in events)
        if size > self._max_bytes:
            raise SpoolFull(f"{size} bytes are more than the spool may ever hold ({self._max_bytes})")
        end = None if timeout is None else time.monotonic() + timeout
        with self.changed:
            while not self._write(events, size):
                self._wait_for_room(end)
                if given_up():
                    raise SpoolFull("nobody waits for room any more")
            self._commit(self._written)

    def settle(self, number: int) -> None:
        """Say that all events up to `number` are where they belong; their files go when nothing else is in them."""
        with self.changed:
            if number > self.settled:
                self.settled = number
                self._marker.note(number)
                self._remove_settled()
                self.changed.notify_all()

    def rest(self) -> None:
        """Make durable up to where events are settled; for when there is time."""
        self._marker.sync()

    def fill(self) -> Fill:
        """How full it is."""
        with self.changed:
            return Fill(self.committed - self.settled, self._bytes, self._cut)

    def close(self) -> None:
        """Take nothing more; what isn't settled stays for the next opening."""
        with self.changed:
            if self.closed:
                return
            self.closed = True
            self.changed.notify_all()
            while self._syncing:
                self.changed.wait()
            self._commit_last()
            self._drop_active()
            self._appending.end_segment()
            self._marker.close()

    def _write(self, events: Sequence[bytes], size: int) -> bool:
        """Write events as one; gives False when there is no room now."""
        while self._syncing and self._appending.ends_segment(size):
            self.changed.wait()
        if self.closed:
            raise SpoolClosed("the spool is closed")
        if self._failure is not None:
            raise SpoolFailed(f"the spool's disk failed: {self._failure.strerror}") from self._failure
        if self._bytes + size > self._max_bytes:
            self._drop_active()
            if self._bytes + size > self._max_bytes:
                return False
        now_ms, first = self._now_ms(), self._written + 1
        data = b"".join(frame(first + index, now_ms, event) for index, event in enumerate(events))
        try:
            segment = self._appending.append(first, len(events), data)
        except SpoolFull:
            return False
        except OSError as error:
            self._fail(error)
            raise SpoolFailed(f"the spool can't be written: {error.strerror}") from error
        if not self.segments or self.segments[-1] is not segment:
            self.segments.append(segment)
        self._bytes += len(data)
        self._written += len(events)
        return True

    def _wait_for_room(self, end: float | None) -> None:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            taken = f"{self._bytes} of {self._max_bytes} bytes"
            raise SpoolFull(f"the spool has no room: {taken} are taken, or the disk is full")
        # A disk that was full has room again without anybody telling.
        self.changed.wait(1.0 if left is None else min(left, 1.0))

    def _commit(self, number: int) -> None:
        """Wait until all up to `number` is committed; whoever comes first syncs for all that have been written."""
        while self.committed < number:
            if self._failure is not None:
                raise SpoolFailed(f"the spool's disk failed: {self._failure.strerror}") from self._failure
            if self._syncing:
                self.changed.wait()
                continue
            written = self._written
            if self._durably:
                self._sync()
            if self._failure is None:
                self.committed = max(self.committed, written)
            self.changed.notify_all()

    def _commit_last(self) -> None:
        """What others have written and wait for is made durable before the files are closed."""
        if self._written > self.committed and self._failure is None:
            try:
                self._appending.sync()
                self.committed = self._written
            except OSError as error:
                self._fail(error)

    def _sync(self) -> None:
        """Sync what is written, without the lock, so that others write meanwhile."""
        self._syncing = True
        self.changed.release()
        failure: OSError | None = None
        try:
            self._appending.sync()
        except OSError as error:
            failure = error
        finally:
            self.changed.acquire()
            self._syncing = False
            self.changed.notify_all()  # where it was interrupted, another one syncs
            if failure is not None:
                self._fail(failure)

    def _fail(self, error: OSError) -> None:
        self._failure = self._failure or error
        self.changed.notify_all()

    def _remove_settled(self) -> None:
        """Let go of files of which everything is settled, but for the one that is written to."""
        while self.segments and self.segments[0].last <= self.settled and not self._appending.writes(self.segments[0]):
            self._let_go(self.segments.pop(0))

    def _drop_active(self) -> None:
        """Let go of the file that is written to as well, where everything in it is settled."""
        if self._syncing or self._written > self.settled or not self.segments:
            return
        self._appending.end_segment()
        self._remove_settled()

    def _let_go(self, segment: Segment) -> None:
        self._bytes -= segment.size
        try:
            let_go(self._files, segment)
        except FileNotFoundError:
            return  # somebody was faster
        except OSError:
            self._bytes += segment.size  # it is found again at the next opening
