"""A chunk of three events, as a service exports it."""

from __future__ import annotations

from collections.abc import Iterator

from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_query_pb2 as query_pb

STORED = [b'{"event":"a.b","n":%d}' % number for number in range(1, 4)]


def exported(request: pb.ExportEventsRequest, *missing: query_pb.MissingPart) -> Iterator[pb.ExportEventsResponse]:
    numbers = range(request.after_sequence + 1, 4)
    columns = pb.EventColumns(
        storage="default",
        log_id="log",
        sequences=numbers,
        times_ms=[1000 for _ in numbers],
        types=["a.b" for _ in numbers],
        uids=[f"u{number}" for number in numbers],
        session_ids=["" for _ in numbers],
        users=["" for _ in numbers],
        json=b"".join(STORED[number - 1] for number in numbers),
        json_sizes=[len(STORED[number - 1]) for number in numbers],
        emitter_numbers=[0 for _ in numbers],
        received_times_ms=[0 for _ in numbers],
    )
    yield pb.ExportEventsResponse(columns=columns, through_sequence=3, done=True, missing=missing)
