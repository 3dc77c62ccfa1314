"""The operations listener over real sockets."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import json
import signal
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from server.audit_log.state_of_service import Problem
from server.http_api.listener import ListenerError, OperationsServer
from server.http_api.operations import operations_app
from server.observability.alerts.alerts import Alerts
from server.observability.metrics import Metrics
from tests.reserved_port import reserved_port

Problems = Callable[[], Sequence[Problem]]
METHODS = ["/extaudit.v1.AuditLogService/EmitEvent"]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def ask(port: int, path: str, method: str = "GET", trust: ssl.SSLContext | None = None) -> Answer:
    connection = (
        http.client.HTTPSConnection("localhost", port, timeout=60, context=trust)
        if trust
        else http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    )
    try:
        connection.request(method, path)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read().decode())
    finally:
        connection.close()


def serve_and_ask(
    *requests: tuple[str, str], problems: Problems = tuple, metrics: Metrics | None = None
) -> list[Answer]:
    """Start a listener, send the requests (method, path) and stop it again."""
    shown = metrics or Metrics(METHODS)

    async def run() -> list[Answer]:
        server = OperationsServer("127.0.0.1:0", operations_app(problems, shown.render))
        port = await server.start()
        try:
            return [await asyncio.to_thread(ask, port, path, method) for method, path in requests]
        finally:
            await server.stop()

    return asyncio.run(run())


def test_a_living_process_says_so_whatever_its_problems() -> None:
    [answer] = serve_and_ask(("GET", "/healthz"), problems=lambda: [Problem("journal_closed", "")])
    assert (answer.status, answer.body) == (200, "alive\n")


def test_ready_is_200_without_problems() -> None:
    [answer] = serve_and_ask(("GET", "/readyz"))
    assert (answer.status, answer.body) == (200, "ready\n")


def test_an_alert_is_named_without_its_storage_and_leaves_the_service_ready() -> None:
    alerts = Alerts()
    for storage in ("aws-1", "aws-2"):
        alerts.raise_standing(storage, "object-missing", "a name of AWS")

    async def asked(problems: Problems) -> Answer:
        server = OperationsServer("127.0.0.1:0", operations_app(problems, lambda: b"", alerts.listed))
        port = await server.start()
        try:
            return await asyncio.to_thread(ask, port, "/readyz")
        finally:
            await server.stop()

    ready, not_ready = (asyncio.run(asked(each)) for each in (tuple, lambda: [Problem("journal_full", "")]))
    assert (ready.status, json.loads(ready.body)) == (200, {"problems": [], "alerts": ["object-missing"]})
    assert (not_ready.status, json.loads(not_ready.body)["alerts"]) == (503, ["object-missing"])


def test_not_ready_names_the_problems_and_not_their_descriptions() -> None:
    problems = [Problem("journal_closed", "secret place"), Problem("disk_full", "")]
    [answer] = serve_and_ask(("GET", "/readyz"), problems=lambda: problems)
    assert answer.status == 503
    assert json.loads(answer.body) == {"problems": ["journal_closed", "disk_full"]}


def test_readiness_that_cannot_be_told_is_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> Sequence[Problem]:
        raise RuntimeError("CANARY")

    [answer] = serve_and_ask(("GET", "/readyz"), problems=fail)
    assert answer.status == 503
    assert json.loads(answer.body) == {"problems": ["state_unknown"]}
    assert [record.message for record in caplog.records] == ["the state of the service can't be told"]


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics(METHODS)
    metrics.journal.emitted(accepted=3)
    [answer] = serve_and_ask(("GET", "/metrics"), metrics=metrics)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'extaudit_emitted_events_total{outcome="accepted"} 3.0' in answer.body.splitlines()


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/healthz/", "/metrics/x", "/..", "//healthz"])
def test_nothing_else_is_there(path: str) -> None:
    [answer] = serve_and_ask(("GET", path))
    assert (answer.status, answer.body) == (404, "Not Found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(method: str) -> None:
    [answer] = serve_and_ask((method, "/healthz"))
    assert (answer.status, answer.body) == (405, "Method Not Allowed")


def test_no_answer_names_the_software_or_may_be_cached() -> None:
    for answer in serve_and_ask(("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")):
        assert "server" not in answer.headers
        assert answer.headers["cache-control"] == "no-store"
    [missing] = serve_and_ask(("GET", "/none"))
    assert "server" not in missing.headers


def test_a_header_without_end_is_refused() -> None:
    async def run() -> bytes:
        server = OperationsServer("127.0.0.1:0", operations_app(tuple, lambda: b""))
        port = await server.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 100_000)
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(4_096), 60)
            writer.close()
            return answer
        finally:
            await server.stop()

    assert asyncio.run(run()).startswith(b"HTTP/1.1 400 ")


def test_after_stop_nothing_listens_and_open_connections_end() -> None:
    async def run() -> tuple[bytes, int]:
        listen = f"127.0.0.1:{reserved_port()}"  # else another program may be given the port as soon as it is free
        server = OperationsServer(listen, operations_app(tuple, lambda: b""))
        port = await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.wait_for(server.stop(), 60)
        rest = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await server.stop()
        return rest, port

    rest, port = asyncio.run(run())
    assert rest == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_signals_stay_with_the_process() -> None:
    """uvicorn would replace the handlers, and the gRPC listener would never be drained."""

    async def run() -> None:
        before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        server = OperationsServer("127.0.0.1:0", operations_app(tuple, lambda: b""))
        await server.start()
        try:
            assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
        finally:
            await server.stop()

    asyncio.run(run())


@pytest.mark.parametrize("listen", ["[::1]:0", "localhost:0"])
def test_it_listens_on_names_and_ipv6(listen: str) -> None:
    if "::1" in listen:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("there is no IPv6 here")

    async def run() -> int:
        server = OperationsServer(listen, operations_app(tuple, lambda: b""))
        port = await server.start()
        await server.stop()
        return port

    assert asyncio.run(run()) > 0


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = OperationsServer(f"127.0.0.1:{taken.getsockname()[1]}", operations_app(tuple, lambda: b""))
        with pytest.raises(ListenerError, match=r"^http.listen can't be bound \(Address already in use\)$"):
            asyncio.run(server.start())


def test_a_host_without_address_is_one_clear_error() -> None:
    server = OperationsServer("nowhere.invalid:0", operations_app(tuple, lambda: b""))
    with pytest.raises(ListenerError, match=r"^http.listen can't be bound \(its host name has no address\)$"):
        asyncio.run(server.start())


def test_with_a_certificate_it_speaks_tls_and_nothing_else(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate))

    async def run() -> tuple[Answer, str]:
        server = OperationsServer("127.0.0.1:0", operations_app(tuple, lambda: b""), certificate, key)
        port = await server.start()
        try:
            answer = await asyncio.to_thread(ask, port, "/healthz", "GET", trust)
            with pytest.raises((http.client.HTTPException, OSError)) as refused:
                await asyncio.to_thread(ask, port, "/healthz")
            return answer, refused.typename
        finally:
            await server.stop()

    answer, refused = asyncio.run(run())
    assert answer.status == 200
    assert refused


def test_a_key_that_does_not_fit_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = write_certificate(tmp_path)
    _, key = write_certificate(tmp_path / "other")
    server = OperationsServer("127.0.0.1:0", operations_app(tuple, lambda: b""), certificate, key)
    with pytest.raises(ListenerError, match=r"^http.certificate and http.key can't be used together$"):
        asyncio.run(server.start())


def write_certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(minutes=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "http.crt", folder / "http.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
