"""Watches: the use case of those who watch events as they are committed, each with its trace."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.commit_notice import CommitNotice
from server.audit_log.service_log import ServiceLog
from server.audit_log.storages import Storages
from server.audit_log.watching.log_parts import Selection
from server.audit_log.watching.log_reader import LogReader, beyond
from server.audit_log.watching.look import Look, look_on
from server.audit_log.watching.query import Encode, Place, WatchQuery
from server.audit_log.watching.watch import Watch, WatchLimits
from server.errors import InvalidRequest, ResourceExhausted, Unavailable, Violation
from server.observability.watch_metrics import WatchMetrics
from server.storage.matching import Matcher
from server.storage.ports import StorageError

Answer = TypeVar("Answer")
_FEW_EVENTS = 256
_FEW_BYTES = 256 * 1024
"""So much of the tail is looked at on the loop: handing it to a thread would take longer."""
_LOOP_EVENTS = 400
_FEWEST_EVENTS = 20
"""Where each event has to be looked at by itself, 6 µs of the loop, its watches share a part of them: a quarter of the
loop's time, however many look for what never comes."""
_AHEAD_MS = 300_000
"""How far a caller's clock may be ahead."""


class Watches:
    """Begins watches. Lives on the event loop; what blocks is done on `threads`."""

    def __init__(
        self,
        reader: LogReader,
        threads: Executor,
        service_log: ServiceLog,
        notice: CommitNotice,
        metrics: WatchMetrics,
        storages: Storages,
        limits: WatchLimits | None = None,
        remote_threads: Executor | None = None,
    ) -> None:
        """What may have to be fetched is read on `remote_threads`, so that nothing that is here waits behind it."""
        self._reader = reader
        self._threads = threads
        self._remote_threads = remote_threads or threads
        self._service_log = service_log
        self._notice = notice
        self._metrics = metrics
        self._storages = storages
        self._limits = limits or WatchLimits()
        self._open = 0
        self._finding = asyncio.Semaphore(1)

    async def begin(self, access: Callable[[], Access], query: WatchQuery, encode: Encode) -> Watch:
        """Begin to watch. `access` gives the caller's rights as of now, or raises what ends the watch.

        Raises:
            InvalidRequest: the place isn't one of these logs, or the time is yet to come.
            NotFound: there is no such storage.
            ResourceExhausted: there are too many watches.
            Unavailable: the trace can't be journalled.
        """
        wanted = self._wanted(query.storage)
        if self._open >= self._limits.watches:
            raise ResourceExhausted("too many watch already", reason="OVERLOADED", retry_after=5.0)
        self._open += 1
        self._metrics.begun()
        try:
            start = await self._start(query)
            watch_id = str(uuid.uuid4())
            await self._service_log.watching(access(), query, watch_id)
            return self._watch(access, query, start, encode, watch_id, wanted)
        except BaseException:
            self._release()
            raise

    def _watch(
        self,
        access: Callable[[], Access],
        query: WatchQuery,
        start: Place,
        encode: Encode,
        watch_id: str,
        wanted: Collection[str] | None,
    ) -> Watch:
        look = partial(self._look, wanted, encode)
        return Watch(
            access,
            query.wanted,
            start,
            look,
            self._notice,
            self._limits.heartbeat_seconds,
            lambda: self._limits.pause(self._open),
            self._metrics,
            partial(self._ended, watch_id),
        )

    def _wanted(self, selector: str) -> Collection[str] | None:
        """The storages whose events are wanted; None for all. What follows a place is of whichever storage was active
        when it came: so is all that who watches the active one is to have, however often a watch is begun anew."""
        chosen = self._storages.chosen(selector)
        return None if selector in ("", "active", "all") else chosen

    async def _start(self, query: WatchQuery) -> Place:
        if query.after is not None:
            ends = self._reader.ends()
            wrong = beyond(query.after, ends)
            if wrong:
                raise InvalidRequest([_violation(log_id, end) for log_id, end in wrong])
            return {log_id: done for log_id, done in query.after.items() if log_id in ends}
        if query.received_from_ms is None:
            return self._reader.ends()
        if query.received_from_ms > time.time_ns() // 1_000_000 + _AHEAD_MS:
            raise InvalidRequest([Violation("received_from", "must not be yet to come")])
        received_ms = query.received_from_ms
        # It may take long, and cancelling leaves its thread at it: those who look have the others.
        async with self._finding:
            return await self._on_thread(
                lambda: self._reader.first_received_from(received_ms), may_fetch=len(self._storages.ids()) > 1
            )

    async def _look(
        self,
        wanted: Collection[str] | None,
        encode: Encode,
        place: Place,
        selection: Selection,
        matches: Matcher,
    ) -> Look:
        def looked() -> Look:
            try:
                look = look_on(self._reader, place, selection, matches, wanted)
            except StorageError as error:
                raise Unavailable("the storage can't be read now") from error
            if look.events:
                look.encoded = encode(look.events)
            return look

        backlog = self._reader.backlog(place, _FEW_BYTES)
        if backlog is not None and backlog <= self._few(selection):
            return looked()
        # Encoding a full answer takes as long as finding it, and the loop has others to serve.
        return await self._on_thread(looked, may_fetch=self._reader.may_fetch(place, wanted))

    def _few(self, selection: Selection) -> int:
        return _FEW_EVENTS if selection.is_cheap else min(_FEW_EVENTS, max(_FEWEST_EVENTS, _LOOP_EVENTS // self._open))

    def _release(self) -> None:
        self._open -= 1
        self._metrics.ended()

    def _ended(self, watch_id: str, watch: Watch) -> None:
        self._release()
        self._service_log.watched(watch.caller, watch_id, watch.start, watch.place, watch.given)

    async def _on_thread(self, work: Callable[[], Answer], *, may_fetch: bool) -> Answer:
        threads = self._remote_threads if may_fetch else self._threads
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, work)
        except StorageError as error:
            raise Unavailable("the storage can't be read now") from error


def _violation(log_id: str, end: int | None) -> Violation:
    text = "is no log of this service" if end is None else f"is beyond the log's end, {end}"
    return Violation(f"after.logs[{log_id}]", text)
