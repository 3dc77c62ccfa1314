"""From chunks and blocks of their events to response messages."""

from __future__ import annotations

from typing import Final

from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_watch_pb2

from server.audit_log.export.blocks import EventBlock
from server.audit_log.export.chunk import Chunk, ChunkPage
from server.grpc_api.column_encoding import encoded_columns
from server.grpc_api.messages import identity_message, missing_part, timestamp_message
from server.recordings.format.wire import packed_varint

_LENGTH_DELIMITED: Final = 2
_COLUMNS: Final = bytes((pb.ExportEventsResponse.COLUMNS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED,))
_JSON: Final = bytes((pb.EventColumns.JSON_FIELD_NUMBER << 3 | _LENGTH_DELIMITED,))


def chunks_response(page: ChunkPage) -> pb.ListEventChunksResponse:
    """The answer to ListEventChunks."""
    through = page.complete_through
    return pb.ListEventChunksResponse(
        chunks=[_chunk(chunk) for chunk in page.chunks],
        next_page_token=page.next_page_token,
        complete_through=None if through is None else event_watch_pb2.LogPlace(logs=through),
        missing=[missing_part(part) for part in page.missing],
        foreign_objects=page.foreign_objects,
    )


def _chunk(chunk: Chunk) -> pb.EventChunk:
    return pb.EventChunk(
        id=str(chunk.id),
        storage=chunk.id.storage,
        log_id=chunk.id.log_id,
        first_sequence=chunk.id.first,
        last_sequence=chunk.id.last,
        events=chunk.events,
        bytes=chunk.bytes,
        first_time=None if chunk.first_ms is None else timestamp_message(chunk.first_ms),
        last_time=None if chunk.last_ms is None else timestamp_message(chunk.last_ms),
    )


def encoded_block(block: EventBlock) -> bytes:
    """An ExportEventsResponse, encoded; for threads. The JSON, most of it, is copied once."""
    emitters = [pb.EmitterAtPeer(emitter=identity_message(emitter), peer=peer) for emitter, peer in block.emitters]
    head = pb.EventColumns(storage=block.storage, log_id=block.log_id, emitters=emitters).SerializeToString()
    columns = encoded_columns(
        [
            (pb.EventColumns.SEQUENCES_FIELD_NUMBER, block.sequences),
            (pb.EventColumns.TIMES_MS_FIELD_NUMBER, block.times_ms),
            (pb.EventColumns.JSON_SIZES_FIELD_NUMBER, block.json_sizes),
            (pb.EventColumns.EMITTER_NUMBERS_FIELD_NUMBER, block.emitter_numbers),
            (pb.EventColumns.RECEIVED_TIMES_MS_FIELD_NUMBER, block.received_ms),
        ],
        [
            (pb.EventColumns.TYPES_FIELD_NUMBER, block.types),
            (pb.EventColumns.UIDS_FIELD_NUMBER, block.uids),
            (pb.EventColumns.SESSION_IDS_FIELD_NUMBER, block.session_ids),
            (pb.EventColumns.USERS_FIELD_NUMBER, block.users),
        ],
    )
    rest = pb.ExportEventsResponse(
        through_sequence=block.through, done=block.done, missing=[missing_part(part) for part in block.missing]
    ).SerializeToString()
    json = (_JSON, packed_varint(len(block.json))) if len(block.json) else ()
    size = len(head) + len(columns) + sum(map(len, json)) + len(block.json)
    return b"".join((_COLUMNS, packed_varint(size), head, columns, *json, block.json, rest))
