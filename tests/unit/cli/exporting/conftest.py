"""A service with a log to export, and a folder for the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit.v1 import event_export_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_watch_pb2 as watch_pb

from tests.unit.cli.exported_log import STORED, exported
from tests.unit.client.fake_service import FakeService

TAIL = b'{"event":"a.b","tail":true}'
ALL = b"\n".join([*STORED, TAIL, b""])
"""What an export of everything writes."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def service(service: FakeService) -> FakeService:
    """A log of four events: three in a chunk."""

    def chunks(request: pb.ListEventChunksRequest) -> pb.ListEventChunksResponse:
        listed = pb.EventChunk(id="c", storage="default", log_id="log", first_sequence=1, last_sequence=3, events=3)
        left = [] if request.after.logs.get("log", 0) >= 3 else [listed]
        return pb.ListEventChunksResponse(chunks=left, complete_through=watch_pb.LogPlace(logs={"log": 3}))

    def watch(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        row = event_pb2.EventRow(uid="t", json=TAIL, type="a.b")
        row.receipts.add(storage="default", log_id="log", sequence=4)
        rows = [row] if request.after.logs.get("log", 0) < 4 else []
        place = watch_pb.LogPlace(logs={"log": 4})
        yield watch_pb.WatchEventsResponse(events=rows, place=place, caught_up=True)

    service.chunks, service.export, service.watch = chunks, exported, watch
    return service
