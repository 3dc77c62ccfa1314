"""From what was diverted to the answer that tells it."""

from __future__ import annotations

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from server.external_storage.backlogs import Diverted
from server.grpc_api.messages import timestamp_message


def diversion_message(diverted: Diverted) -> pb.DivertStorageResponse:
    """What was diverted, or would be."""
    backlog = diverted.backlog
    oldest, newest = backlog.oldest_received_ms, backlog.newest_received_ms
    return pb.DivertStorageResponse(
        batches=backlog.batches,
        events=backlog.events,
        bytes=backlog.bytes,
        sequences=[
            pb.DivertedSequences(log_id=log_id, first_sequence=first, last_sequence=last)
            for log_id, first, last in backlog.sequences
        ],
        oldest_received_time=timestamp_message(oldest) if oldest is not None else None,
        newest_received_time=timestamp_message(newest) if newest is not None else None,
        uploads=[
            pb.WaitingUpload(session_id=row.session_id, bytes=row.bytes, begin_time=timestamp_message(row.begun_ms))
            for row in diverted.uploads
        ],
    )
