"""The client: one method for each thing that the service does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType

from extaudit_client import event_calls
from extaudit_client.access import AccessCheck, Hypothesis, Role
from extaudit_client.calling import Caller
from extaudit_client.chunks import EventChunk, EventChunks
from extaudit_client.connection import Connection
from extaudit_client.emitting import Acknowledgement, EmittedEvent, Message, check_sizes, messages
from extaudit_client.errors import ExtauditError, IncompleteAnswer
from extaudit_client.exported_events import ExportedEvents
from extaudit_client.exports import Exports, WatchedColumns, exported
from extaudit_client.integrations import Integrations
from extaudit_client.locks import Lock
from extaudit_client.paging import pages
from extaudit_client.recordings import Recordings
from extaudit_client.retries import Retries
from extaudit_client.rows import EventRow, Position
from extaudit_client.search_paging import Gaps, SearchPaging
from extaudit_client.searches import MissingPart, Page, Query
from extaudit_client.statuses import Status
from extaudit_client.storages import Storages
from extaudit_client.stream import EventStream
from extaudit_client.watching import Told, WatchedEvents, WatchProgress, watch


class Client:
    """Talks to one service over one channel; safe to use from several threads. Close it, or use it in `with`.

    `timeout` is in seconds and holds for every call but streams of events. Every method raises ExtauditError when the
    service refuses or fails, and its subclass ConnectionFailed when no service can be talked to.
    """

    def __init__(self, connection: Connection, timeout: float = 60.0, retries: Retries | None = None) -> None:
        self._caller = Caller(connection, connection.channel(), timeout, retries or Retries())
        self._exports = Exports(self._caller)
        self.recordings = Recordings(self._caller)
        """Uploads, lists and downloads recordings."""
        self.integrations = Integrations(self._caller)
        """Integrations, and the keys by which AWS knows the service."""
        self.storages = Storages(self._caller)
        """Sets External Audit Storage up."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._caller.close()

    def emit(self, json: bytes) -> EmittedEvent:
        """Store one event, given as UTF-8 JSON; it is durable when this returns. A uid is set where it has none."""
        return self._caller.run(event_calls.emit(json))

    def emit_stream(self, events: Iterable[bytes], batch_size: int = 100, window: int = 8) -> Iterator[Acknowledgement]:
        """Store many events; each acknowledgement says what became of one batch, in order.

        At most `window` batches are unacknowledged at any time. Events are taken from the iterable only as the caller
        takes acknowledgements, which are read when the window is full or the events are at their end: for a slow source
        use a window of 1. A uid is set where an event has none. After an error, what no acknowledgement named may be
        stored or not; sending it again is safe where it carried a uid.
        """
        check_sizes(batch_size, window)
        with self._caller.errors():
            stream = EventStream(self._caller.stubs.audit_log.EmitEvents, window, self._caller.retries)
            try:
                for message in messages(events, batch_size):
                    if message.fits_stream:
                        stream.send(message)
                    while stream.pending and (stream.full or not message.fits_stream):
                        yield from stream.receive()
                    if not message.fits_stream:
                        yield self._emit_alone(message)
                stream.finish()
                while stream.pending:
                    yield from stream.receive()
            finally:
                stream.close()

    def search(self, query: Query, page_token: str = "") -> Page:
        """Give one page of the rows that match; the token of the page before continues its search."""
        return self._caller.run(event_calls.search(query, page_token))

    def search_pages(self, query: Query, page_token: str = "", limit: int | None = None) -> Iterator[Page]:
        """Give page after page to the search's end, or until they hold `limit` rows."""
        paging = SearchPaging(query, page_token, limit)
        while (wanted := paging.next()) is not None:
            page = self.search(wanted, paging.page_token)
            yield page
            paging.note(page)

    def search_all(self, query: Query) -> Iterator[EventRow]:
        """Give every row that matches.

        Raises:
            IncompleteAnswer: after the last row, when rows are missing.
        """
        gaps = Gaps()
        for page in self.search_pages(query):
            yield from page.rows
            gaps.note(page)
        gaps.check()

    def watch(
        self,
        query: Query | None = None,
        *,
        after: Mapping[str, int] | None = None,
        received_from: datetime | None = None,
        told: Told | None = None,
    ) -> Generator[WatchedEvents, None, None]:
        """Give the events that match the query's filters and storage as they become durable, in the order of their log.

        Begins after the place `after` (`WatchedEvents.place`; an empty one is before everything), else with the first
        event received at `received_from` or later, else with what is acknowledged from now on. It has no end: when a
        stream breaks, `told` is told, and another goes on behind the last answer, so that nothing is left out and
        nothing comes twice. Close the iterator to stop.
        """
        return watch(self._caller, WatchProgress(query or Query(), after, received_from, self._caller.retries), told)

    def export(
        self,
        query: Query | None = None,
        *,
        after: Mapping[str, int] | None = None,
        parallel: int = 4,
        missing: Callable[[MissingPart], None] | None = None,
    ) -> Iterator[ExportedEvents]:
        """Give all that matches the query's filters and storage, each (log id, sequence) once, column by column.

        `parallel` stored batches are read at once. The logs that they are of come one after the other, in the order of
        sequences; then what is in no batch yet. To go on after an interruption, give as `after` for each log id the
        last `through_sequence`. `missing` is told of what can't be given.

        Raises:
            IncompleteAnswer: after the last event, when something is missing and `missing` isn't given.
        """
        lost: list[MissingPart] = []
        tell = missing or lost.append
        yield from exported(self, query or Query(), after or {}, parallel=parallel, missing=tell)
        if lost:
            raise IncompleteAnswer(lost)

    def chunks(self, query: Query, after: Mapping[str, int] | None = None) -> EventChunks:
        """Give the stored batches after a place (log id → sequence) that may hold what a query asks for."""
        return self._exports.chunks(query, after or {})

    def export_chunk(self, chunk: EventChunk, query: Query, after_sequence: int = 0) -> Iterator[ExportedEvents]:
        """Give the events of a stored batch that match, after a sequence; goes on by itself when the stream breaks."""
        return self._exports.export_chunk(chunk, query, after_sequence)

    def watch_columns(
        self, query: Query, after: Mapping[str, int], told: Told | None = None
    ) -> Generator[WatchedColumns, None, None]:
        """Give what follows a place for ever, as `watch` does, column by column and with large events whole."""
        return self._exports.watch_columns(query, after, told)

    def get(self, event: Position | str, digest: str = "", storage: str = "") -> tuple[EventRow, bytes]:
        """Give one event, named by its position or uid, and its JSON, checked against the row's size and digest.

        `digest` (SHA-256, lower-case hex) chooses among events of one uid; without it there must be only one.
        """
        return self._caller.gather(event_calls.get(event, digest, storage))

    def status(self) -> Status:
        """Tell how the service is."""
        return self._caller.run(event_calls.status())

    def roles(self) -> Iterator[Role]:
        """Give the loaded roles by name."""
        for page in pages(lambda token: self._caller.run(event_calls.roles(token)), ""):
            yield from page.items

    def check_access(self, kind: str, verb: str, identity: Hypothesis | None = None) -> AccessCheck:
        """Tell whether an identity, the caller where none is given, may use the verb on the kind, and why."""
        return self._caller.run(event_calls.check_access(kind, verb, identity))

    def create_lock(
        self, target: str, name: str, reason: str, expire_time: datetime | None = None, *, force: bool = False
    ) -> Lock:
        """Bar someone until the time given, or until the lock is deleted; in force when this returns.

        `target` is one of locks.TARGETS. A lock that hits the caller is refused unless `force`.
        """
        return self._caller.run(event_calls.create_lock(target, name, reason, expire_time, force=force))

    def locks(self) -> Iterator[Lock]:
        """Give the locks in force, oldest first."""
        for page in pages(lambda token: self._caller.run(event_calls.locks(token)), ""):
            yield from page.items

    def delete_lock(self, lock_id: str) -> None:
        """End a lock."""
        self._caller.run(event_calls.delete_lock(lock_id))

    def _emit_alone(self, message: Message) -> Acknowledgement:
        try:
            return message.emitted(self.emit(message.events[0]))
        except ExtauditError as error:
            return message.refused(error)
