"""AuditLogService: maps messages to use cases and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_watch_pb2 as watch_pb

from server.errors import InvalidRequest, Violation
from server.grpc_api.acknowledgements import emit_response
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain, stopping
from server.grpc_api.emit_batches import EmitBatch, decode_batch
from server.grpc_api.emit_stream import EmitStream, Window
from server.grpc_api.export_messages import chunks_response, encoded_block
from server.grpc_api.export_requests import chunk_query, export_query
from server.grpc_api.messages import event_row, watch_response, watched_events
from server.grpc_api.payloads import payload_bytes
from server.grpc_api.row_encoding import search_answer
from server.grpc_api.search_requests import event_selector, search_query
from server.grpc_api.use_cases import Denials, Exports, Intake, Searches, Watch, Watches
from server.grpc_api.watch_requests import watch_query

CHUNK_BYTES: Final = 1024 * 1024
EXPORT_PATIENCE_SECONDS = 60.0
"""Few exports may be under way at once. Those whose clients wait for one that found no room would hold all for ever."""


_LARGE_STRUCTURE_BYTES: Final = 64 * 1024


async def _payload_of_structure(event: event_pb2.EventPayload) -> bytes:
    """The event's JSON; of a large structure, which takes a second to be written, made off the loop."""
    if event.ByteSize() > _LARGE_STRUCTURE_BYTES:
        return await asyncio.to_thread(payload_bytes, event)
    return payload_bytes(event)


@dataclass(slots=True)
class SearchTime:
    """Bounds a search or a get whose client sets a longer deadline; may change while the server runs."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AuditLogServicer:
    """The methods of AuditLogService."""

    intake: Intake
    searches: Searches
    exports: Exports
    watches: Watches
    denials: Denials
    drain: Drain
    search_time: SearchTime
    window: Window

    async def EmitEvent(self, request: pb.EmitEventRequest, call: Call) -> pb.EmitEventResponse:  # noqa: N802
        """Store one event."""
        if not request.HasField("event"):
            raise InvalidRequest([Violation("event", "must be set")])
        call.spend_events(1)
        try:
            event = request.event
            payload = event.json or await _payload_of_structure(event)
            return emit_response(await self.intake.emit(call.access, payload))
        except InvalidRequest as refusal:
            violations = [Violation(f"event.{each.field}", each.description) for each in refusal.violations]
            raise InvalidRequest(violations, reason=refusal.reason) from None

    def EmitEvents(  # noqa: N802
        self, requests: AsyncIterator[EmitBatch], call: Call
    ) -> AsyncIterator[pb.EmitEventsResponse]:
        """Store a stream of batches."""
        call.decode = decode_batch
        return EmitStream(call, requests, self.intake, self.denials, self.drain, self.window).responses()

    async def SearchEvents(self, request: pb.SearchEventsRequest, call: Call) -> bytes:  # noqa: N802
        """Find events; the answer is given encoded."""
        query = search_query(request)
        return await self.searches.search(call.access, query, search_answer, timeout=self._timeout(call))

    async def GetEvent(self, request: pb.GetEventRequest, call: Call) -> AsyncIterator[pb.GetEventResponse]:  # noqa: N802
        """Stream one event whole."""
        selector = event_selector(request)
        found, data = await self.searches.get(call.access, selector, timeout=self._timeout(call))
        yield pb.GetEventResponse(event=event_row(found, with_json=False))
        for start in range(0, len(data), CHUNK_BYTES):
            yield pb.GetEventResponse(chunk=data[start : start + CHUNK_BYTES])

    async def ListEventChunks(  # noqa: N802
        self, request: export_pb.ListEventChunksRequest, call: Call
    ) -> export_pb.ListEventChunksResponse:
        """A page of stored batches."""
        return chunks_response(await self.exports.chunks(call.access, chunk_query(request)))

    async def ExportEvents(  # noqa: N802
        self, request: export_pb.ExportEventsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        """Stream the events of a chunk; the messages are given encoded."""
        call.patience_seconds = EXPORT_PATIENCE_SECONDS
        blocks = self.exports.events(call.access_now, export_query(request), encoded_block)
        async with aclosing(blocks):
            async for block in blocks:
                self.drain.refuse_when_begun()
                yield block.data

    async def WatchEvents(  # noqa: N802
        self, request: watch_pb.WatchEventsRequest, call: Call
    ) -> AsyncIterator[bytes]:
        """Stream events as they are committed; the messages are given encoded."""
        query = watch_query(request)

        watch = await self.watches.begin(call.access_now, query, watched_events)
        try:
            self.drain.subscribe(watch.end)
            while (answer := await _next_answer(watch)) is not None:
                yield answer
            raise stopping()
        finally:
            self.drain.unsubscribe(watch.end)
            watch.close()

    def _timeout(self, call: Call) -> float:
        remaining = call.time_remaining()
        return self.search_time.seconds if remaining is None else min(remaining, self.search_time.seconds)


async def _next_answer(watch: Watch) -> bytes | None:
    """An answer alone: its events would take twice as much, for as long as the watcher doesn't read."""
    watched = await watch.next()
    return None if watched is None else watch_response(watched)
