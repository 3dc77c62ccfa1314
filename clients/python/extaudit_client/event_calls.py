"""The calls about events, access and status: requests from arguments, and answers read."""

from __future__ import annotations

import hashlib
from datetime import datetime

from extaudit.v1 import access_service_pb2 as access_pb
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1.status_service_pb2 import GetStatusRequest

from extaudit_client.access import AccessCheck, Hypothesis, Role, check_from, check_request, role_from
from extaudit_client.calling import Call, Gathering
from extaudit_client.emitting import EmittedEvent
from extaudit_client.errors import ExtauditError
from extaudit_client.event_uid import with_uid
from extaudit_client.locks import Lock, lock_from, lock_request
from extaudit_client.paging import Listed
from extaudit_client.rows import EventRow, Position, row_from
from extaudit_client.searches import Page, Query, page_from, request_from
from extaudit_client.statuses import Status, status_from


def emit(json: bytes) -> Call[EmittedEvent]:
    """Store one event; a uid is set before it is sent, so that a retry is never a second event."""
    uid, event = with_uid(json)
    request = pb.EmitEventRequest(event=event_pb2.EventPayload(json=event))
    return Call(lambda stubs: stubs.audit_log.EmitEvent, request, _emitted, repeatable=bool(uid))


def search(query: Query, page_token: str) -> Call[Page]:
    """Find one page of events."""
    return Call(lambda stubs: stubs.audit_log.SearchEvents, request_from(query, page_token), page_from)


def get(event: Position | str, digest: str, storage: str) -> Gathering[tuple[EventRow, bytes]]:
    """One event by its position or uid, and its JSON."""
    request = pb.GetEventRequest(storage=storage)
    if isinstance(event, Position):
        request.position.log_id = event.log_id
        request.position.sequence = event.sequence
    else:
        request.uid, request.digest = event, digest
    return Gathering(lambda stubs: stubs.audit_log.GetEvent, request, WholeEvent)


class WholeEvent:
    """An event whose JSON comes in parts, checked at its end."""

    def __init__(self) -> None:
        self._row: EventRow | None = None
        self._json = bytearray()

    def add(self, part: pb.GetEventResponse) -> bool:
        """Take the next part; gives False when no more can belong to it."""
        if self._row is None:
            if not part.HasField("event"):
                raise _rowless()
            self._row = row_from(part.event)
        else:
            self._json += part.chunk
        return len(self._json) <= self._row.payload_size

    def whole(self) -> tuple[EventRow, bytes]:
        """Row and JSON.

        Raises:
            ExtauditError: there was no row, or the JSON hasn't its digest.
        """
        if self._row is None:
            raise _rowless()
        if hashlib.sha256(self._json).hexdigest() != self._row.digest:
            raise ExtauditError("DATA_LOSS", "", "the event's JSON isn't what its digest says")
        return self._row, bytes(self._json)


def status() -> Call[Status]:
    """How the service is."""
    return Call(lambda stubs: stubs.status.GetStatus, GetStatusRequest(), status_from)


def roles(page_token: str) -> Call[Listed[Role]]:
    """One page of the loaded roles."""
    return Call(
        lambda stubs: stubs.access.ListRoles,
        access_pb.ListRolesRequest(page_token=page_token),
        lambda answer: Listed(tuple(map(role_from, answer.roles)), answer.next_page_token),
    )


def check_access(kind: str, verb: str, identity: Hypothesis | None) -> Call[AccessCheck]:
    """Whether an identity may use a verb on a kind."""
    return Call(lambda stubs: stubs.access.CheckAccess, check_request(kind, verb, identity), check_from)


def create_lock(target: str, name: str, reason: str, expire_time: datetime | None, *, force: bool) -> Call[Lock]:
    """Bar someone."""
    request = lock_request(target, name, reason, expire_time, force)
    return Call(lambda stubs: stubs.access.CreateLock, request, lambda answer: lock_from(answer.lock), repeatable=False)


def locks(page_token: str) -> Call[Listed[Lock]]:
    """One page of the locks in force."""
    return Call(
        lambda stubs: stubs.access.ListLocks,
        access_pb.ListLocksRequest(page_token=page_token),
        lambda answer: Listed(tuple(map(lock_from, answer.locks)), answer.next_page_token),
    )


def delete_lock(lock_id: str) -> Call[None]:
    """End a lock."""
    # Once more would be told that there is none.
    request = access_pb.DeleteLockRequest(id=lock_id)
    return Call(lambda stubs: stubs.access.DeleteLock, request, lambda answer: None, repeatable=False)


def _emitted(answer: pb.EmitEventResponse) -> EmittedEvent:
    return EmittedEvent(answer.uid, answer.storage, answer.log_id, answer.sequence, answer.repeated, answer.uid_reused)


def _rowless() -> ExtauditError:
    return ExtauditError("INTERNAL", "", "the service sent no row before the event's JSON")
