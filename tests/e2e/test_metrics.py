"""What a running server's metrics say after calls over real sockets, those that were given up included."""

from __future__ import annotations

import re
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit_client import Client, Query

from server.app import App
from server.config import HttpSection, JournalSection
from tests.certificates_builder import CaShape
from tests.e2e.every_own_event import client_of
from tests.polling import until
from tests.running_app import running_app
from tests.unit.observability.test_metrics_docs import documented, exposed

SERVICE = "/extaudit.v1.AuditLogService/"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    authority = CaShape().make()
    (tmp_path / "operations-ca.pem").write_bytes(authority.pem)
    http = HttpSection("127.0.0.1:0", *authority.server().write(tmp_path, "operations"))
    with running_app(tmp_path / "data", journal=JournalSection(cut_events=50), http=http) as app:
        yield app


@pytest.fixture
def client(app: App, tmp_path: Path) -> Iterator[Client]:
    with client_of(tmp_path / "data") as client:
        yield client


def text_of(app: App) -> str:
    trust = ssl.create_default_context(cafile=app.config.data_dir.with_name("operations-ca.pem"))
    with urllib.request.urlopen(f"https://localhost:{app.http_port}/metrics", timeout=60, context=trust) as answer:
        found: str = answer.read().decode()
    return found


def value(app: App, name: str, **labels: str) -> float:
    """The sum over all series of this name that have these labels."""
    found = 0.0
    for series, given, number in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text_of(app), re.M):
        if series == name and dict(re.findall(r'(\w+)="([^"]*)"', given)).items() >= labels.items():
            found += float(number)
    return found


def calls(app: App, method: str, **labels: str) -> float:
    return value(app, "extaudit_grpc_calls_total", method=SERVICE + method, **labels)


def channel_of(app: App, data_dir: Path) -> grpc.Channel:
    folder = data_dir / "identity"
    ca, key, certificate = ((folder / name).read_bytes() for name in ("ca.crt", "admin.key", "admin.crt"))
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    return grpc.secure_channel(f"localhost:{app.grpc_port}", credentials)


def test_every_documented_metric_is_exposed_by_a_server(app: App) -> None:
    assert exposed(text_of(app)) == documented()


def test_calls_are_counted_with_kind_and_code(app: App, client: Client) -> None:
    client.emit(b'{"event":"a"}')
    client.search(Query())
    with pytest.raises(Exception, match="must be a string"):
        client.emit(b"{}")
    until(lambda: calls(app, "EmitEvent", kind="user", code="OK") == 1)
    until(lambda: calls(app, "EmitEvent", kind="user", code="INVALID_ARGUMENT") == 1)
    until(lambda: calls(app, "SearchEvents", kind="user", code="OK") == 1)
    until(lambda: value(app, "extaudit_grpc_errors_total") == 1)
    assert value(app, "extaudit_grpc_started_calls_total", method=SERVICE + "EmitEvent") == 2
    until(lambda: value(app, "extaudit_grpc_call_seconds_count", method=SERVICE + "EmitEvent") == 2)


def test_a_call_that_its_client_gives_up_is_counted_and_no_longer_in_flight(app: App, tmp_path: Path) -> None:
    ended = threading.Event()

    def requests() -> Iterator[pb.EmitEventsRequest]:
        payload = event_pb2.EventPayload(json=b'{"event":"a"}')
        yield pb.EmitEventsRequest(message_number=1, events=[payload])
        ended.wait(60)

    with channel_of(app, tmp_path / "data") as channel:
        stream: Any = AuditLogServiceStub(channel).EmitEvents(requests())
        next(stream)
        assert value(app, "extaudit_grpc_calls_in_flight", method=SERVICE + "EmitEvents") == 1
        stream.cancel()
        ended.set()
        until(lambda: calls(app, "EmitEvents", kind="user", code="CANCELLED") == 1)
    until(lambda: value(app, "extaudit_grpc_calls_in_flight", method=SERVICE + "EmitEvents") == 0)


def test_a_call_whose_connection_is_lost_is_counted(app: App, tmp_path: Path) -> None:
    channel = channel_of(app, tmp_path / "data")
    stream: Any = AuditLogServiceStub(channel).EmitEvents(iter(threading.Event().wait, None))
    until(lambda: value(app, "extaudit_grpc_calls_in_flight", method=SERVICE + "EmitEvents") == 1)
    channel.close()
    until(lambda: calls(app, "EmitEvents", code="CANCELLED") == 1)
    del stream


def test_a_deadline_that_passes_is_counted(app: App, tmp_path: Path) -> None:
    with channel_of(app, tmp_path / "data") as channel:
        stub = AuditLogServiceStub(channel)

        def passed() -> bool:
            """A call's time can be over before the service hears of it, so calls are made until one is counted."""
            stream: Any = stub.EmitEvents(iter(threading.Event().wait, None), timeout=0.2)
            with pytest.raises(grpc.RpcError):
                next(stream)
            return calls(app, "EmitEvents", code="DEADLINE_EXCEEDED") > 0

        until(passed)


def test_calls_that_were_never_authenticated_are_counted_of_nobody(app: App, tmp_path: Path) -> None:
    metadata = (("authorization", "Bearer made-up"),)
    with channel_of(app, tmp_path / "data") as channel, pytest.raises(grpc.RpcError):
        AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(), metadata=metadata)
    until(lambda: calls(app, "SearchEvents", kind="none", code="UNAUTHENTICATED") == 1)
    until(lambda: value(app, "extaudit_unauthenticated_calls_total", reason="other") == 1)


def test_messages_are_counted_in_bytes_both_ways(app: App, client: Client) -> None:
    method = SERVICE + "EmitEvents"
    events = [b'{"event":"a","x":"%s"}' % (b"x" * 1000)] * 40
    acknowledgements = list(client.emit_stream(iter(events), batch_size=10))
    assert value(app, "extaudit_grpc_received_messages_total", method=method) == 4
    assert 40_000 < value(app, "extaudit_grpc_received_bytes_total", method=method) < 50_000
    assert 1 <= value(app, "extaudit_grpc_sent_messages_total", method=method) <= len(acknowledgements) == 4
    assert value(app, "extaudit_grpc_sent_bytes_total", method=method) > 0


def test_batches_searches_and_syncs_are_measured(app: App, client: Client) -> None:
    list(client.emit_stream(iter([b'{"event":"a"}'] * 60), batch_size=30))
    until(lambda: value(app, "extaudit_deliveries_total", outcome="delivered") >= 1)
    assert value(app, "extaudit_batch_events_sum") >= 30
    assert value(app, "extaudit_batch_bytes_sum") > 1000
    assert value(app, "extaudit_batch_encode_seconds_count") >= 1
    assert value(app, "extaudit_delivery_seconds_sum") > value(app, "extaudit_batch_encode_seconds_sum") > 0
    assert value(app, "extaudit_last_delivery_timestamp_seconds", storage="default") > 1.7e9
    assert value(app, "extaudit_journal_sync_seconds_count") >= 2
    assert value(app, "extaudit_commit_bytes_sum") >= 60 * 13
    client.search(Query(types=("a",)))
    assert value(app, "extaudit_search_found_events_total") == 60
    assert value(app, "extaudit_search_objects_sum") >= 1
    assert value(app, "extaudit_search_bytes_sum") > 0


def test_the_end_of_every_certificate_in_use_is_shown_and_told(app: App, client: Client) -> None:
    ends = {each.use: each.expire_time.timestamp() for each in client.status().certificates}
    assert ends.keys() == {"server", "operations", "host_ca", "user_ca"}
    for use, end in ends.items():
        assert value(app, "extaudit_certificate_expiry_timestamp_seconds", use=use) == end


def test_the_service_tells_what_it_is_and_how(app: App) -> None:
    assert value(app, "extaudit_build_info", version="0.1.0") == 1
    assert value(app, "extaudit_serving") == 1
    assert value(app, "extaudit_problem") == 0
    assert value(app, "extaudit_disk_free_bytes") > 0
    assert value(app, "process_resident_memory_bytes") > 2**20
    until(lambda: value(app, "extaudit_loop_lag_seconds_count") > 2)
    queues = set(re.findall(r'extaudit_executor_waiting\{executor="([^"]+)"\}', text_of(app)))
    assert {"journal", "search", "reading", "remote-reading", "export"} <= queues
    assert {"recordings", "remote-recordings", "text-search"} <= queues
