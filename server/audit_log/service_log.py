"""The service's own events about calls: the trace of every read, and refusals. No client can emit as the service."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Mapping

import orjson

from rbac.identities import SERVICE
from server.audit_log.access import Access, caller_members
from server.audit_log.export.chunk import ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.intake import Intake
from server.audit_log.search.query import EventFilter, EventSelector, SearchPage, SearchQuery
from server.audit_log.watching.query import Place, WatchQuery
from server.errors import AuditStoreError, Unavailable
from server.service_events import (
    CHUNKS_LISTED,
    DENIED,
    EXPORT_ENDED,
    EXPORTED,
    READ,
    RECORDING_READ,
    RECORDINGS_LISTED,
    RECORDINGS_SEARCHED,
    REINDEXED,
    SEARCHED,
    WATCH_ENDED,
    WATCHED,
    encoded,
)

_log = logging.getLogger(__name__)
MAX_FILTER_BYTES = 16_384


class ServiceLog:
    """Writes the service's own events through the intake, so that they are as durable as any other."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def searched(self, access: Access, query: SearchQuery, page: SearchPage) -> None:
        """Leave the trace of one page before it leaves the service.

        Raises:
            Unavailable: it couldn't be journalled; the page must not leave.
        """
        await self._read(
            SEARCHED,
            access,
            query_id=page.query_id,
            filters=_bounded(_filters(query)),
            storages=[query.storage or "active"],
            engine=page.engine,
            first_page=not query.page_token,
            rows=len(page.rows),
            complete=page.complete,
        )

    async def read(self, access: Access, selector: EventSelector, uid: str) -> None:
        """Leave the trace of one event that was read whole.

        Raises:
            Unavailable: it couldn't be journalled; the event must not leave.
        """
        by_position = {"log_id": selector.log_id, "sequence": selector.sequence}
        asked: Mapping[str, object] = by_position if selector.log_id else {"uid": selector.uid}
        await self._read(READ, access, asked=_bounded(asked), found=uid)

    async def chunks_listed(self, access: Access, query: ChunkQuery, page: ChunkPage) -> None:
        """Leave the trace of one page of chunks before it leaves the service.

        Raises:
            Unavailable: it couldn't be journalled; the page must not leave.
        """
        asked = {"from_ms": query.from_ms, "to_ms": query.to_ms, "after": dict(query.after)}
        await self._read(
            CHUNKS_LISTED,
            access,
            filters=_bounded({name: value for name, value in asked.items() if value not in (None, {})}),
            storages=[query.storage],
            first_page=not query.page_token,
            chunks=len(page.chunks),
            complete=not page.missing,
        )

    async def exported(self, access: Access, query: ExportQuery, *, found: bool) -> None:
        """Leave the trace of a chunk that is exported, before any of its events leaves; or that there is none.

        Raises:
            Unavailable: it couldn't be journalled; nothing must leave.
        """
        await self._read(
            EXPORTED,
            access,
            chunk=str(query.chunk),
            after_sequence=query.after_sequence,
            filters=_bounded(_filters(query.wanted)),
            found=found,
        )

    async def watching(self, access: Access, query: WatchQuery, watch_id: str) -> None:
        """Leave the trace of a watch that begins, before its first answer leaves.

        Raises:
            Unavailable: it couldn't be journalled; nothing must leave.
        """
        start: dict[str, object] = {"now": True}
        if query.after is not None:
            start = {"after": dict(query.after)}
        elif query.received_from_ms is not None:
            start = {"received_from_ms": query.received_from_ms}
        await self._read(
            WATCHED,
            access,
            watch_id=watch_id,
            filters=_bounded(_filters(query.wanted)),
            storages=[query.storage],
            start=_bounded(start),
        )

    def watched(self, access: Access, watch_id: str, start: Place, place: Place, events: int) -> None:
        """Leave the trace of a watch that has ended: what it was given, and from where to where it looked.

        Nobody waits for it: the watcher has gone, and what it saw is between the two events in any case.
        """
        given = {"from": _bounded(dict(start)), "to": _bounded(dict(place)), "events": events}
        self._ended(access, WATCH_ENDED, {"watch_id": watch_id, **given})

    def export_ended(self, access: Access, query: ExportQuery, *, events: int, size: int, through: int) -> None:
        """Leave the trace of an export that has ended: how many events and bytes left, and how far the chunk was looked
        at. Nobody waits for it, as above."""
        given = {"events": events, "bytes": size, "through_sequence": through}
        self._ended(access, EXPORT_ENDED, {"chunk": str(query.chunk), **given})

    def _ended(self, access: Access, event_type: str, members: Mapping[str, object]) -> None:
        try:
            trace = asyncio.ensure_future(self._submit(access, event_type, members))
        except AuditStoreError as error:
            _log.warning("the end of a read can't be journalled", extra={"fields": {"reason": error.reason}})
        else:
            trace.add_done_callback(_note_failure)

    async def recording_read(self, access: Access, *, session_id: str, **members: object) -> None:
        """Leave the trace of a recording that was opened, before its first byte leaves.

        Raises:
            Unavailable: it couldn't be journalled; nothing of the recording must leave.
        """
        await self._read(RECORDING_READ, access, sid=session_id, **members)

    async def recordings_listed(self, access: Access, filters: Mapping[str, object], **members: object) -> None:
        """Leave the trace of one page of sessions before it leaves the service.

        Raises:
            Unavailable: it couldn't be journalled; the page must not leave.
        """
        await self._read(RECORDINGS_LISTED, access, filters=_bounded(filters), **members)

    async def recordings_searched(self, access: Access, filters: Mapping[str, object], **members: object) -> None:
        """Leave the trace of one page of recorded text before it leaves the service.

        Raises:
            Unavailable: it couldn't be journalled; the page must not leave.
        """
        await self._read(RECORDINGS_SEARCHED, access, filters=_bounded(filters), **members)

    async def reindexed(self, access: Access) -> None:
        """Record that somebody has the indexes of sessions made anew.

        Raises:
            Unavailable: it couldn't be journalled; it must not be done.
        """
        await self._read(REINDEXED, access)

    def denied(self, access: Access, **members: object) -> Awaitable[object]:
        """Record refusals of one identity; what is returned resolves when the event is durable.

        Raises:
            ResourceExhausted, Unavailable: it isn't taken. The awaitable may raise them as well.
        """
        return self._submit(access, DENIED, members)

    async def _read(self, event_type: str, access: Access, **members: object) -> None:
        try:
            await self._submit(access, event_type, members)
        except AuditStoreError as error:
            message = "the trace of this read can't be journalled, so nothing is given"
            raise Unavailable(message, reason="JOURNAL_CLOSED", retry_after=5.0) from error

    def _submit(self, access: Access, event_type: str, members: Mapping[str, object]) -> Awaitable[object]:
        event = {"event": event_type, **caller_members(access), **members}
        return self._intake.submit_own(Access(SERVICE, access.peer, access.request_id), encoded(event))


def _note_failure(trace: asyncio.Future[object]) -> None:
    if not trace.cancelled() and isinstance(error := trace.exception(), AuditStoreError):
        _log.warning("the end of a watch can't be journalled", extra={"fields": {"reason": error.reason}})


def _bounded(asked: Mapping[str, object]) -> Mapping[str, object]:
    """What was asked for, or a digest of it where it is so large that reads would fill the journal."""
    written = orjson.dumps(asked)
    if len(written) <= MAX_FILTER_BYTES:
        return asked
    return {"sha256": hashlib.sha256(written).hexdigest(), "bytes": len(written)}


def _filters(query: SearchQuery | EventFilter) -> dict[str, object]:
    """The filters that were asked for, the empty ones left out."""
    filters = query.filters
    asked: dict[str, object] = {
        "from_ms": filters.from_ms,
        "to_ms": filters.to_ms,
        "types": sorted(filters.types),
        "users": sorted(filters.users),
        "session_id": filters.session_id,
        "uids": sorted(filters.uids),
        "text": filters.text,
        "fields": [{"path": list(item.path), "value": item.value} for item in filters.fields],
        "emitters": sorted(query.emitters),
        "emitter_kinds": sorted(kind.value for kind in query.emitter_kinds),
    }
    return {name: value for name, value in asked.items() if value not in (None, "", [])}
