"""What waited for a storage that is gone, and where it went."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from extaudit.v1 import external_audit_storage_service_pb2 as pb

from extaudit_client.rows import time_from


@dataclass(frozen=True, slots=True)
class DivertedSequences:
    """A gap-free range of sequences of one log; `last_sequence` is part of it."""

    log_id: str
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True, slots=True)
class WaitingUpload:
    """An upload of a recording that isn't complete and stays where it is; `bytes` as of when it was last left."""

    session_id: str
    bytes: int
    begin_time: datetime


@dataclass(frozen=True, slots=True)
class Diversion:
    """What was diverted, or would be. `bytes` are of JSON; times are None where there is nothing."""

    batches: int
    events: int
    bytes: int
    sequences: tuple[DivertedSequences, ...]
    oldest_received_time: datetime | None
    newest_received_time: datetime | None
    uploads: tuple[WaitingUpload, ...]


def diversion_from(message: pb.DivertStorageResponse) -> Diversion:
    """Read what was diverted."""
    oldest, newest = message.oldest_received_time, message.newest_received_time
    return Diversion(
        message.batches,
        message.events,
        message.bytes,
        tuple(DivertedSequences(each.log_id, each.first_sequence, each.last_sequence) for each in message.sequences),
        time_from(oldest) if message.HasField("oldest_received_time") else None,
        time_from(newest) if message.HasField("newest_received_time") else None,
        tuple(WaitingUpload(each.session_id, each.bytes, time_from(each.begin_time)) for each in message.uploads),
    )
