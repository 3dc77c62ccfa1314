"""Events that speak for another component leave a denial behind, by whichever call they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload
from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from server.certificates.issuing import issue_component
from server.service_events import DENIED
from tests.polling import until
from tests.running_app import running_app

OF_ANOTHER = EventPayload(json=b'{"event":"session.start","server_id":"web-2"}')
OWN = EventPayload(json=b'{"event":"session.start","server_id":"web-1"}')
LARGE = EventPayload(json=OF_ANOTHER.json[:-1] + b',"text":"%b"}' % (b"x" * 100_000))


def test_a_stream_that_speaks_for_another_goes_on_and_is_told_of_with_a_count(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running_app(data_dir) as app:
        issued = issue_component(data_dir, "web-1", ["Node"], 1, tmp_path)
        pems = (Path(path).read_bytes() for path in (issued.ca, issued.key, issued.certificate))
        with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
            stub = AuditLogServiceStub(channel)
            batches = [[OF_ANOTHER, OWN, OF_ANOTHER], [OWN], [OF_ANOTHER, LARGE]]
            messages = [pb.EmitEventsRequest(message_number=i, events=batch) for i, batch in enumerate(batches, 1)]
            acks = [ack for response in stub.EmitEvents(iter(messages)) for ack in response.messages]
            assert [[refused.index for refused in ack.refused] for ack in acks] == [[0, 2], [], [0, 1]]
            with pytest.raises(grpc.RpcError) as refused:
                stub.EmitEvent(pb.EmitEventRequest(event=OF_ANOTHER))
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        with client_of(data_dir) as client:
            until(lambda: len(denials(client)) == 2)
    with running_app(data_dir), client_of(data_dir) as client:
        told = denials(client)
    counts: dict[str, int] = {}
    for event in told:
        assert (event["user"], event["status"], event["reason"]) == ("web-1", "PERMISSION_DENIED", "ACCESS_DENIED")
        method = event["method"].rpartition("/")[2]
        counts[method] = counts.get(method, 0) + event["count"]
    assert counts == {"EmitEvents": 4, "EmitEvent": 1}
    assert len(told) == 3, "the first at once, the rest of a minute at its end or the stop"


def client_of(data_dir: Path) -> Client:
    return Client(find_connection({}, data_dir))


def denials(client: Client) -> list[dict[str, Any]]:
    rows = [row for page in client.search_pages(Query(types=(DENIED,))) for row in page.rows]
    return [json.loads(row.json) for row in rows]
