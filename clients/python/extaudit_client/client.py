"""The client: one method for each thing that the service does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import TypeVar

import grpc
from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, status_service_pb2
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub

from extaudit_client.access import AccessCheck, Hypothesis, Role, check_from, check_request, role_from
from extaudit_client.connection import Connection
from extaudit_client.diagnosis import explain
from extaudit_client.emitting import MAX_BATCH, Acknowledgement, EmittedEvent, Message, messages
from extaudit_client.errors import ExtauditError, IncompleteAnswer, Violation, from_rpc
from extaudit_client.locks import Lock, lock_from, lock_request
from extaudit_client.paging import pages
from extaudit_client.recordings import Recordings
from extaudit_client.rows import EventRow, Position, row_from
from extaudit_client.searches import MAX_PAGE, MissingPart, Page, Query, page_from, request_from
from extaudit_client.statuses import Status, status_from
from extaudit_client.stream import EventStream, Retries

Listing = TypeVar("Listing", access_pb.ListRolesResponse, access_pb.ListLocksResponse)


class Client:
    """Talks to one service over one channel; safe to use from several threads. Close it, or use it in `with`.

    `timeout` is in seconds and holds for every call but streams of events. Every method raises ExtauditError when the
    service refuses or fails, and its subclass ConnectionFailed when no service can be talked to.
    """

    def __init__(self, connection: Connection, timeout: float = 60.0, retries: Retries | None = None) -> None:
        self._connection = connection
        self._timeout = timeout
        self._retries = retries or Retries()
        self._channel = connection.channel()
        self._audit_log = AuditLogServiceStub(self._channel)
        self._access = AccessServiceStub(self._channel)
        self._status = StatusServiceStub(self._channel)
        self.recordings = Recordings(self._channel, self._errors, timeout, self._retries)
        """Uploads, lists and downloads recordings."""

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    def emit(self, json: bytes) -> EmittedEvent:
        """Store one event, given as UTF-8 JSON; it is durable when this returns. Safe to repeat if it carries a uid."""
        request = pb.EmitEventRequest(event=event_pb2.EventPayload(json=json))
        with self._errors():
            answer = self._audit_log.EmitEvent(request, timeout=self._timeout)
        return EmittedEvent(
            answer.uid, answer.storage, answer.log_id, answer.sequence, answer.repeated, answer.uid_reused
        )

    def emit_stream(self, events: Iterable[bytes], batch_size: int = 100, window: int = 8) -> Iterator[Acknowledgement]:
        """Store many events; each acknowledgement says what became of one batch, in order.

        At most `window` batches are unacknowledged at any time. Events are taken from the iterable only as the caller
        takes acknowledgements, which are read when the window is full or the events are at their end: for a slow source
        use a window of 1. After an error, what no acknowledgement named may be stored or not; sending it again is safe
        where it carries a uid.
        """
        if not 1 <= batch_size <= MAX_BATCH or window < 1:
            raise ValueError(f"batch_size must be 1 to {MAX_BATCH}, and window at least 1")
        with self._errors():
            stream = EventStream(self._audit_log.EmitEvents, window, self._retries)
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
        request = request_from(query, page_token)
        with self._errors():
            return page_from(self._audit_log.SearchEvents(request, timeout=self._timeout))

    def search_pages(self, query: Query, page_token: str = "", limit: int | None = None) -> Iterator[Page]:
        """Give page after page to the search's end, or until they hold `limit` rows."""
        given = 0
        while limit is None or given < limit:
            size = query.page_size or MAX_PAGE
            wanted = size if limit is None else min(size, limit - given)
            page = self.search(replace(query, page_size=wanted), page_token)
            yield page
            if not page.next_page_token:
                return
            if page.next_page_token == page_token:
                raise ExtauditError("INTERNAL", "", "the service gave the same page token twice, so the search ends")
            given, page_token = given + len(page.rows), page.next_page_token

    def search_all(self, query: Query) -> Iterator[EventRow]:
        """Give every row that matches.

        Raises:
            IncompleteAnswer: after the last row, when rows are missing.
        """
        missing: list[MissingPart] = []
        whole = True
        for page in self.search_pages(query):
            yield from page.rows
            missing += page.lasting_gaps
            whole &= page.whole
        if not whole:
            raise IncompleteAnswer(missing)

    def get(self, event: Position | str, digest: str = "", storage: str = "") -> tuple[EventRow, bytes]:
        """Give one event, named by its position or uid, and its JSON, checked against the row's size and digest.

        `digest` (SHA-256, lower-case hex) chooses among events of one uid; without it there must be only one.
        """
        request = pb.GetEventRequest(storage=storage)
        if isinstance(event, Position):
            request.position.log_id = event.log_id
            request.position.sequence = event.sequence
        else:
            request.uid, request.digest = event, digest
        with self._errors():
            return _whole(iter(self._audit_log.GetEvent(request, timeout=self._timeout)))

    def status(self) -> Status:
        """Tell how the service is."""
        with self._errors():
            return status_from(self._status.GetStatus(status_service_pb2.GetStatusRequest(), timeout=self._timeout))

    def roles(self) -> Iterator[Role]:
        """Give the loaded roles by name."""

        def page(token: str) -> access_pb.ListRolesResponse:
            return self._access.ListRoles(access_pb.ListRolesRequest(page_token=token), timeout=self._timeout)

        for response in self._pages(page):
            yield from map(role_from, response.roles)

    def check_access(self, kind: str, verb: str, identity: Hypothesis | None = None) -> AccessCheck:
        """Tell whether an identity, the caller where none is given, may use the verb on the kind, and why."""
        with self._errors():
            return check_from(self._access.CheckAccess(check_request(kind, verb, identity), timeout=self._timeout))

    def create_lock(
        self, target: str, name: str, reason: str, expire_time: datetime | None = None, *, force: bool = False
    ) -> Lock:
        """Bar someone until the time given, or until the lock is deleted; in force when this returns.

        `target` is one of locks.TARGETS. A lock that hits the caller is refused unless `force`.
        """
        request = lock_request(target, name, reason, expire_time, force)
        with self._errors():
            return lock_from(self._access.CreateLock(request, timeout=self._timeout).lock)

    def locks(self) -> Iterator[Lock]:
        """Give the locks in force, oldest first."""

        def page(token: str) -> access_pb.ListLocksResponse:
            return self._access.ListLocks(access_pb.ListLocksRequest(page_token=token), timeout=self._timeout)

        for response in self._pages(page):
            yield from map(lock_from, response.locks)

    def delete_lock(self, lock_id: str) -> None:
        """End a lock."""
        with self._errors():
            self._access.DeleteLock(access_pb.DeleteLockRequest(id=lock_id), timeout=self._timeout)

    def _pages(self, page: Callable[[str], Listing]) -> Iterator[Listing]:
        def read(token: str) -> Listing:
            with self._errors():
                return page(token)

        return pages(read, "")

    def _emit_alone(self, message: Message) -> Acknowledgement:
        try:
            return message.emitted(self.emit(message.events[0]))
        except ExtauditError as error:
            if error.code == "INVALID_ARGUMENT":
                return message.refused(error.violations or (Violation("json", error.message),))
            if error.code == "RESOURCE_EXHAUSTED" and not error.reason:  # gRPC's own bound on messages
                return message.refused((Violation("json", "is larger than the service takes"),))
            raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise explain(from_rpc(error), self._connection) from None
        except ExtauditError as error:
            raise explain(error, self._connection) from None


def _whole(parts: Iterator[pb.GetEventResponse]) -> tuple[EventRow, bytes]:
    first = next(parts, None)
    if first is None or not first.HasField("event"):
        raise ExtauditError("INTERNAL", "", "the service sent no row before the event's JSON")
    row = row_from(first.event)
    data = bytearray()
    for part in parts:
        data += part.chunk
        if len(data) > row.payload_size:
            break
    if hashlib.sha256(data).hexdigest() != row.digest:
        raise ExtauditError("DATA_LOSS", "", "the event's JSON isn't what its digest says")
    return row, bytes(data)
