"""The client for asyncio: the methods of `Client`, awaited."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from types import TracebackType

from extaudit_client import event_calls
from extaudit_client.access import AccessCheck, Hypothesis, Role
from extaudit_client.async_integrations import AsyncIntegrations
from extaudit_client.async_recordings import AsyncRecordings
from extaudit_client.async_storages import AsyncStorages
from extaudit_client.async_stream import AsyncEventStream
from extaudit_client.async_watching import async_watch, from_thread
from extaudit_client.calling import Caller
from extaudit_client.client import Client
from extaudit_client.connection import Connection
from extaudit_client.emitting import Acknowledgement, Cutter, EmittedEvent, Message, check_sizes
from extaudit_client.errors import ExtauditError
from extaudit_client.exported_events import ExportedEvents
from extaudit_client.locks import Lock
from extaudit_client.paging import async_pages
from extaudit_client.retries import Retries
from extaudit_client.rows import EventRow, Position
from extaudit_client.search_paging import Gaps, SearchPaging
from extaudit_client.searches import MissingPart, Page, Query
from extaudit_client.statuses import Status
from extaudit_client.watching import Told, WatchedEvents, WatchProgress


class AsyncClient:
    """Talks to one service over one channel, on the event loop it is made on. Close it, or use it in `async with`.

    `Client` says what each method does, gives and raises; `timeout` and `retries` are as there.
    """

    def __init__(self, connection: Connection, timeout: float = 60.0, retries: Retries | None = None) -> None:
        self._caller = Caller(connection, connection.async_channel(), timeout, retries or Retries())
        self.recordings = AsyncRecordings(self._caller)
        """Uploads, lists and downloads recordings."""
        self.integrations = AsyncIntegrations(self._caller)
        """Integrations, and the keys by which AWS knows the service."""
        self.storages = AsyncStorages(self._caller)
        """Sets External Audit Storage up."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way fail."""
        await self._caller.close_async()

    async def emit(self, json: bytes) -> EmittedEvent:
        """Store one event, given as UTF-8 JSON; it is durable when this returns. A uid is set where it has none."""
        return await self._caller.run_async(event_calls.emit(json))

    async def emit_stream(
        self, events: Iterable[bytes] | AsyncIterable[bytes], batch_size: int = 100, window: int = 8
    ) -> AsyncIterator[Acknowledgement]:
        """Store many events; each acknowledgement says what became of one batch, in order."""
        check_sizes(batch_size, window)
        with self._caller.errors():
            stream = AsyncEventStream(self._caller.stubs.audit_log.EmitEvents, window, self._caller.retries)
            try:
                async for message in _messages(events, batch_size):
                    if message.fits_stream:
                        await stream.send(message)
                    while stream.pending and (stream.full or not message.fits_stream):
                        async for acknowledgement in stream.receive():
                            yield acknowledgement
                    if not message.fits_stream:
                        yield await self._emit_alone(message)
                await stream.finish()
                while stream.pending:
                    async for acknowledgement in stream.receive():
                        yield acknowledgement
            finally:
                stream.close()

    async def search(self, query: Query, page_token: str = "") -> Page:
        """Give one page of the rows that match; the token of the page before continues its search."""
        return await self._caller.run_async(event_calls.search(query, page_token))

    async def search_pages(self, query: Query, page_token: str = "", limit: int | None = None) -> AsyncIterator[Page]:
        """Give page after page to the search's end, or until they hold `limit` rows."""
        paging = SearchPaging(query, page_token, limit)
        while (wanted := paging.next()) is not None:
            page = await self.search(wanted, paging.page_token)
            yield page
            paging.note(page)

    async def search_all(self, query: Query) -> AsyncIterator[EventRow]:
        """Give every row that matches; raises IncompleteAnswer after the last one when rows are missing."""
        gaps = Gaps()
        async for page in self.search_pages(query):
            for row in page.rows:
                yield row
            gaps.note(page)
        gaps.check()

    def watch(
        self,
        query: Query | None = None,
        *,
        after: Mapping[str, int] | None = None,
        received_from: datetime | None = None,
        told: Told | None = None,
    ) -> AsyncIterator[WatchedEvents]:
        """Give the events that match as they become durable, in the order of their log, for ever."""
        progress = WatchProgress(query or Query(), after, received_from, self._caller.retries)
        return async_watch(self._caller, progress, told)

    async def export(
        self,
        query: Query | None = None,
        *,
        after: Mapping[str, int] | None = None,
        parallel: int = 4,
        missing: Callable[[MissingPart], None] | None = None,
    ) -> AsyncIterator[ExportedEvents]:
        """Give all that matches, each (log id, sequence) once, column by column; `missing` is told on a thread."""

        def begin() -> Generator[ExportedEvents, None, None]:
            with Client(self._caller.connection, self._caller.timeout, self._caller.retries) as client:
                yield from client.export(query, after=after, parallel=parallel, missing=missing)

        async with aclosing(from_thread(begin)) as found:
            async for events in found:
                yield events

    async def get(self, event: Position | str, digest: str = "", storage: str = "") -> tuple[EventRow, bytes]:
        """Give one event, named by its position or uid, and its JSON, checked against the row's size and digest."""
        return await self._caller.gather_async(event_calls.get(event, digest, storage))

    async def status(self) -> Status:
        """Tell how the service is."""
        return await self._caller.run_async(event_calls.status())

    async def roles(self) -> AsyncIterator[Role]:
        """Give the loaded roles by name."""
        async for page in async_pages(lambda token: self._caller.run_async(event_calls.roles(token)), ""):
            for role in page.items:
                yield role

    async def check_access(self, kind: str, verb: str, identity: Hypothesis | None = None) -> AccessCheck:
        """Tell whether an identity, the caller where none is given, may use the verb on the kind, and why."""
        return await self._caller.run_async(event_calls.check_access(kind, verb, identity))

    async def create_lock(
        self, target: str, name: str, reason: str, expire_time: datetime | None = None, *, force: bool = False
    ) -> Lock:
        """Bar someone until the time given, or until the lock is deleted; in force when this returns."""
        return await self._caller.run_async(event_calls.create_lock(target, name, reason, expire_time, force=force))

    async def locks(self) -> AsyncIterator[Lock]:
        """Give the locks in force, oldest first."""
        async for page in async_pages(lambda token: self._caller.run_async(event_calls.locks(token)), ""):
            for lock in page.items:
                yield lock

    async def delete_lock(self, lock_id: str) -> None:
        """End a lock."""
        await self._caller.run_async(event_calls.delete_lock(lock_id))

    async def _emit_alone(self, message: Message) -> Acknowledgement:
        try:
            return message.emitted(await self.emit(message.events[0]))
        except ExtauditError as error:
            return message.refused(error)


async def _messages(events: Iterable[bytes] | AsyncIterable[bytes], batch_size: int) -> AsyncIterator[Message]:
    cutter = Cutter(batch_size)
    if isinstance(events, AsyncIterable):
        async for event in events:
            for message in cutter.add(event):
                yield message
    else:
        for event in events:
            for message in cutter.add(event):
                yield message
    for message in cutter.rest():
        yield message
