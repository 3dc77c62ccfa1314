"""Every read leaves its trace in the log, and what a trace holds is bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub

from server.audit_log.service_log import MAX_FILTER_BYTES
from tests.running_app import running_app


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[AuditLogServiceStub]:
    with running_app(tmp_path / "data") as app:
        pems = (Path(app.ready[name]).read_bytes() for name in ("ca", "key", "cert"))
        with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
            yield AuditLogServiceStub(channel)


def traces(stub: AuditLogServiceStub, kind: str) -> list[dict[str, Any]]:
    request = pb.SearchEventsRequest(types=[kind], emitter_kinds=[event_pb2.IDENTITY_KIND_SERVICE])
    return [json.loads(row.json) for row in stub.SearchEvents(request).events]


def test_that_there_is_no_such_event_is_an_answer_that_leaves_a_trace(stub: AuditLogServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(stub.GetEvent(pb.GetEventRequest(uid="unknown")))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    [trace] = traces(stub, "extaudit.events.get")
    assert (trace["user"], trace["asked"], trace["found"]) == ("admin", {"uid": "unknown"}, "")


def test_a_search_is_traced_with_its_filters_and_a_huge_one_with_their_digest(stub: AuditLogServiceStub) -> None:
    stub.SearchEvents(pb.SearchEventsRequest(text="small"))
    stub.SearchEvents(pb.SearchEventsRequest(users=["u" * (MAX_FILTER_BYTES + 1)]))
    large, small = (trace["filters"] for trace in traces(stub, "extaudit.events.search"))
    assert small == {"text": "small"}
    assert set(large) == {"sha256", "bytes"}
    assert large["bytes"] > MAX_FILTER_BYTES
