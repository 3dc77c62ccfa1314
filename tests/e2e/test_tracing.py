"""Traces over real sockets: what a span has, what callers can make of it, what a collector in trouble costs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit_client import Query

from server.app import App
from server.config import TracesSection
from server.observability.metrics import Metrics
from tests.certificates_builder import CaShape
from tests.e2e.every_own_event import client_of
from tests.otlp_collector import Collector, attributes, collecting
from tests.polling import until
from tests.running_app import running_app
from tests.running_server import RUN, environment

SEARCH, EMIT = "extaudit.v1.AuditLogService/SearchEvents", "extaudit.v1.AuditLogService/EmitEvent"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def traced(folder: Path, collector: Collector, **settings: object) -> Iterator[App]:
    section = TracesSection(endpoint=f"http://{collector.address}", ratio=1.0)
    with running_app(folder / "data", traces=replace(section, **settings)) as app:  # type: ignore[arg-type]
        yield app


def search(app: App, folder: Path, *metadata: tuple[str, str]) -> None:
    identity = folder / "data" / "identity"
    ca, key, certificate = ((identity / name).read_bytes() for name in ("ca.crt", "admin.key", "admin.crt"))
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    with grpc.secure_channel(f"localhost:{app.grpc_port}", credentials) as channel:
        AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(), metadata=metadata)


def test_a_call_is_a_span_with_its_parts_and_nothing_of_its_content(tmp_path: Path) -> None:
    with collecting() as collector, traced(tmp_path, collector, service_name="audit-test"):
        with client_of(tmp_path / "data") as client:
            client.emit(b'{"event":"canary-type","user":"canary-user","uid":"canary-uid"}')
            client.search(Query(types=("canary-type",), text="canary-text"))
            with pytest.raises(Exception, match="must be"):
                client.emit(b'{"event":5}')
        until(lambda: len(collector.named(EMIT)) == 2 and collector.named(SEARCH))
        (span,) = collector.named(SEARCH)
        assert attributes(span) == {
            "rpc.system": "grpc",
            "rpc.grpc.status_code": 0,
            "extaudit.caller_kind": "user",
            "extaudit.reason": "",
            "extaudit.request_id": attributes(span)["extaudit.request_id"],
        }
        assert attributes(span)["extaudit.request_id"]
        parts = [each for each in collector.spans if each.parent_span_id == span.span_id]
        assert [part.name for part in parts] == ["search.read", "search.trace"]
        assert all(span.start_time_unix_nano <= part.start_time_unix_nano for part in parts)
        refused = [each for each in collector.named(EMIT) if attributes(each)["rpc.grpc.status_code"] == 3]
        assert [attributes(each)["extaudit.reason"] != "" for each in refused] == [True]
        assert collector.resource() == {"service.name": "audit-test", "service.version": "0.1.0"}
    assert "canary" not in str(collector.requests)
    assert "admin" not in str(collector.requests), "no names"


def test_a_caller_that_is_refused_has_a_span_of_nobody(tmp_path: Path) -> None:
    with collecting() as collector, traced(tmp_path, collector) as app:
        with pytest.raises(grpc.RpcError):
            search(app, tmp_path, ("authorization", "Bearer canary-token"))
        until(lambda: collector.named(SEARCH))
        assert attributes(collector.named(SEARCH)[0])["extaudit.caller_kind"] == "none"
    assert "canary" not in str(collector.requests)


def test_a_call_belongs_to_its_callers_trace(tmp_path: Path) -> None:
    with collecting() as collector, traced(tmp_path, collector) as app:
        search(app, tmp_path, ("traceparent", f"00-{TRACE}-{PARENT}-00"))
        until(lambda: collector.named(SEARCH))
        (span,) = collector.named(SEARCH)
        assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
        assert {each.trace_id.hex() for each in collector.spans if each.name.startswith("search.")} == {TRACE}


@pytest.mark.parametrize(
    "values",
    [
        (f"ff-{TRACE}-{PARENT}-01",),
        (f"00-{'0' * 32}-{PARENT}-01",),
        (f"00-{TRACE}-{'0' * 16}-01",),
        (f"00-{TRACE.upper()}-{PARENT}-01",),
        (f"00-{TRACE}-{PARENT}-01-more",),
        ("x" * 4000,),
        ("",),
        (f"00-{'9' * 5000}-{PARENT}-01",),
    ],
    ids=["version", "no trace", "no span", "letters", "more", "long", "empty", "digits"],
)
def test_what_is_no_traceparent_is_left_alone(values: tuple[str, ...], tmp_path: Path) -> None:
    with collecting() as collector, traced(tmp_path, collector) as app:
        search(app, tmp_path, *(("traceparent", value) for value in values))
        until(lambda: collector.named(SEARCH))
        (span,) = collector.named(SEARCH)
        assert span.trace_id.hex() != TRACE
        assert span.parent_span_id == b""


def test_a_caller_forces_no_sampling_unless_that_is_configured(tmp_path: Path) -> None:
    asks, asks_not = (f"00-{TRACE}-{PARENT}-{flag}" for flag in ("01", "00"))
    with collecting() as collector, traced(tmp_path, collector, ratio=0.0) as app:
        for _ in range(20):
            search(app, tmp_path, ("traceparent", asks))
    assert collector.spans == []
    with collecting() as collector, traced(tmp_path, collector, ratio=0.0, sampling="caller") as app:
        search(app, tmp_path, ("traceparent", asks_not))
        search(app, tmp_path)
        search(app, tmp_path, ("traceparent", asks))
        until(lambda: collector.named(SEARCH))
    assert len(collector.named(SEARCH)) == 1


@pytest.mark.parametrize("trouble", ["gone", "hanging"])
def test_a_collector_in_trouble_costs_no_call_and_no_time(trouble: str, tmp_path: Path) -> None:
    with collecting() as collector:
        if trouble == "hanging":
            collector.held.set()
        else:
            collector.address = "127.0.0.1:1"
        with traced(tmp_path, collector), client_of(tmp_path / "data") as client:
            started = time.monotonic()
            acknowledged = list(client.emit_stream(iter([b'{"event":"a"}'] * 100), batch_size=1))
            for _ in range(10):
                client.search(Query(types=("a",)))
            assert len(acknowledged) <= 100
            assert sum(1 for _ in client.search_all(Query(types=("a",)))) == 100
            assert time.monotonic() - started < 250, "an export that hangs takes 5 s"
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 120, "a stop doesn't wait for it for long"


def test_a_span_too_many_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from server.observability import tracing

    monkeypatch.setattr(tracing, "_MAX_WAITING", 600)
    monkeypatch.setattr(tracing, "_TIMEOUT_SECONDS", 300.0)
    metrics = Metrics([])

    def count(outcome: str) -> float | None:
        return metrics.registry.get_sample_value("extaudit_trace_spans_total", {"outcome": outcome})

    with collecting() as collector:
        collector.held.set()
        section = TracesSection(endpoint=f"http://{collector.address}", ratio=1.0)
        traces = tracing.Tracing(section, "1", metrics.traces)
        for number in range(1000):
            traces.begin_call(f"/a/{number}", lambda: "")
            traces.end_call("OK", "user", "", "")
        assert count("dropped") == 400
        collector.held.clear()
        collector.go_on.set()
        until(lambda: count("sent") == 600)
        assert len(collector.spans) == 600
        traces.close()


def test_spans_go_by_tls_to_the_one_whose_ca_is_configured(tmp_path: Path) -> None:
    ca, other = CaShape().make(), CaShape().make()
    server = ca.server()
    credentials = grpc.ssl_server_credentials([(server.key_pem, server.pem)])
    for name, each in (("right.pem", ca), ("other.pem", other)):
        (tmp_path / name).write_bytes(each.pem)
    for name, arrives in (("other.pem", False), ("right.pem", True)):
        with collecting(credentials) as collector:
            endpoint = f"https://{collector.address}"
            with traced(tmp_path, collector, endpoint=endpoint, ca=tmp_path / name) as app:
                search(app, tmp_path)
                if arrives:
                    until(lambda: collector.spans)
        assert bool(collector.spans) == arrives


def test_with_traces_off_nothing_of_opentelemetry_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, server.__main__, server.app; "
        "print([each for each in sys.modules if each.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "[]\n", done.stderr


def test_without_the_packages_the_start_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['opentelemetry'] = None; " + RUN[2]
    flags = ["serve", "--data-dir", str(tmp_path / "data"), "--traces-endpoint", "http://127.0.0.1:4317"]
    flags += ["--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    for more, code in ((["--check"], 2), ([], 1)):
        done = subprocess.run(
            [sys.executable, "-c", hidden, *flags, *more],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode, "requirements/tracing.txt" in done.stderr) == (code, True), done.stderr
        assert len(done.stderr.splitlines()) == 1
