"""Runs of pages made by a process of their own: the interpreter's lock is what a walk would wait for, and events too.

The process is begun behind a walk through many pages, or within a long one, and ends when nobody has walked for a
minute. It is given nothing but the names of objects and what their records say; where it can't be had, pages are made
in the service itself.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import select
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile
from threading import Lock, Thread
from typing import Final
from weakref import finalize

from server.audit_log.search.column_reader import StoredReading
from server.audit_log.search.merging import Span
from server.audit_log.search.page_columns import GivenRows, Tenant, WrittenRows
from server.audit_log.search.page_making import MOST_OBJECTS, PageBounds, Run, in_order
from server.audit_log.search.page_messages import READY, RunAnswer, RunRequest, receive, send
from server.audit_log.search.pages_ahead import Asked
from server.state.catalogue_rows import CatalogueObject

_LOG = logging.getLogger(__name__)
_ANSWER_SECONDS: Final = 5
"""Much longer than it takes; who waits for the page has the rest of the time of a search for it."""
_ENVIRONMENT: Final = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "NUMBA_", "HOME", "XDG_CACHE_HOME", "PATH", "VIRTUAL_ENV")
"""How the names of the variables begin that it needs: others may be secrets."""
_END_SECONDS: Final = 5.0


class PageProcess:
    """Makes runs elsewhere, for one caller at a time. Safe to use from several threads."""

    def __init__(self, command: Sequence[str], bounds: PageBounds) -> None:
        """`command` begins the process; the number of its socket's descriptor is added."""
        self._command = command
        self._bounds = bounds
        self._lock = Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._rooms: dict[int, mmap.mmap] = {}
        self._free: list[int] = []
        # On one processor, and where memory can't be shared so, it would gain nothing.
        self._may_begin = hasattr(os, "memfd_create") and len(os.sched_getaffinity(0)) > 1

    def run(self, asked: Asked, most: int, reading: StoredReading) -> Run | None:
        """See MakingElsewhere."""
        with self._taken() as is_taken:
            if not is_taken or self._connection is None:
                return None
            request = self._request(asked, most, reading)
            return None if request is None else self._answer(self._connection, request)

    def begin(self) -> None:
        """See MakingElsewhere."""
        with self._taken() as is_taken:
            if is_taken and self._connection is None and self._may_begin:
                self._begin()

    @contextlib.contextmanager
    def _taken(self) -> Iterator[bool]:
        """Whether nobody else asks it now: nobody waits for it here."""
        is_taken = self._lock.acquire(blocking=False)
        try:
            yield is_taken
        finally:
            if is_taken:
                self._lock.release()

    def _answer(self, connection: socket.socket, request: RunRequest) -> Run | None:
        try:
            return self._made(connection, request) if self._is_there(connection) else None
        except Exception as error:  # whatever it was: an answer that comes late must never be taken for the next
            _LOG.warning("the page process is gone", extra={"error": type(error).__name__})
            self._end()
            return None

    def close(self) -> None:
        """End the process; none is begun any more."""
        with self._lock:
            self._may_begin = False
            self._end()

    def _is_there(self, connection: socket.socket) -> bool:
        """Whether the process has begun and can be asked."""
        if not self._is_ready:
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            self._is_ready = bool(poll.poll(0)) and receive(connection)[0] == READY
        return self._is_ready

    def _begin(self) -> None:
        try:
            ours, its = socket.socketpair()
            with its:
                process = self._process = self._begun(ours, its.fileno())
        except OSError as error:
            _LOG.warning("no page process can be begun", extra={"error": error.strerror})
            self._may_begin = False
            return
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            ours.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", _ANSWER_SECONDS, 0))
        self._connection = ours
        Thread(target=self._await_end, args=(process,), name="page-process", daemon=True).start()

    def _begun(self, ours: socket.socket, its: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 -- the command is ours
                [*self._command, str(its)],
                env={name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[its],
                process_group=0,  # what is typed at the terminal is for the service
            )
        except OSError:
            ours.close()
            raise

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        """Let go of a process that has ended by itself, as when nobody had asked for a while."""
        process.wait()
        with self._lock:
            if self._process is not process:
                return
            if process.returncode:
                _LOG.warning("the page process has failed", extra={"code": process.returncode})
            self._end()

    def _request(self, asked: Asked, most: int, reading: StoredReading) -> RunRequest | None:
        """None where rows may have to be read one by one, or receipts can't be read: somebody may have put them back
        when the page is asked for."""
        waiting = in_order(asked.objects, asked.span)
        objects = _needed(waiting, most * asked.span.rows, asked.span) if waiting else ()
        if not objects or any(item.is_foreign or not reading.is_intact(item) for item in objects):
            return None
        tables = reading.receipts(objects, float("inf"))
        known = {item.key: table for item, table in zip(objects, tables, strict=True) if table is not None}
        if len(known) < len(objects):
            return None
        counted = {item.log_id: asked.counted.get(item.log_id, 0) for item in objects}
        given = Asked(asked.span, counted, objects)
        paths = {item.key: reading.path(item) for item in objects}
        return RunRequest(given, most, len(objects) < len(waiting), self._bounds, paths, known)

    def _made(self, connection: socket.socket, request: RunRequest) -> Run | None:
        free = [self._free.pop() for _ in range(len(self._free))]
        send(connection, request._replace(free=free))
        answer, memory = receive(connection)
        if not isinstance(answer, RunAnswer):
            return None
        if memory is not None:
            self._rooms[answer.room] = memory
        data = memoryview(self._rooms[answer.room])[: answer.ends[-1]]
        if len(data) < answer.ends[-1]:
            raise EOFError
        tenant = Tenant()
        finalize(tenant, self._free.append, answer.room)
        return Run(GivenRows(WrittenRows(data, answer.ends), tenant), answer.pages, answer.objects, (), data.nbytes)

    def _end(self) -> None:
        """Let go of the process. One that failed before it was ready would fail so again, whoever saw it first."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.returncode and not self._is_ready:
                self._may_begin = False
        self._connection, self._process, self._is_ready = None, None, False
        self._rooms, self._free = {}, []  # what is still read keeps its memory


def _needed(waiting: Sequence[CatalogueObject], rows: int, span: Span) -> Sequence[CatalogueObject]:
    """The first objects that have so many rows, those whose times overlap with theirs, and one that shows the end."""
    # Of those that reach out of the span nobody knows how many are in it.
    inside = (item.rows if span.low <= item.first_ms and item.last_ms < span.high else 0 for item in waiting)
    enough = sum(1 for _ in takewhile(lambda before: before < rows, accumulate(inside))) + 1
    if span.newest_first:
        edge = min(item.first_ms for item in waiting[:enough])
        overlapping = takewhile(lambda item: item.last_ms >= edge, waiting[enough:])
    else:
        edge = max(item.last_ms for item in waiting[:enough])
        overlapping = takewhile(lambda item: item.first_ms <= edge, waiting[enough:])
    return waiting[: min(enough + sum(1 for _ in overlapping), MOST_OBJECTS) + 1]
