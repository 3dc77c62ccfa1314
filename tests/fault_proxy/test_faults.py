"""Each fault befalls the requests that it was planned for and no other, and does what it says to both sides."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.certificates_builder import CaShape
from tests.fault_proxy.exchange import Fault
from tests.fault_proxy.faults import CutAnswer, CutRequest, Late, LostAnswer, Meanwhile, Refused, WrongBytes
from tests.fault_proxy.plan import Where
from tests.fault_proxy.running import FaultProxy, running_proxy

PUT = Where("PUT", r"^/bucket/.*\.parquet$")
BODY = b"0123456789"
RESET = "reset"


class Cloud(ThreadingHTTPServer):
    """Keeps what is put under each path, and gives it back."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.done: list[tuple[str, str, bytes]] = []
        self.hosts: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    server: Cloud

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.done.append((self.command, self.path, body))
        self.server.hosts.add(self.headers["Host"])
        self.send_response(200)
        self.send_header("x-amz-checksum-sha256", "of what was meant")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else BODY)

    do_GET = do_HEAD = do_PUT  # noqa: N815 -- the base class names them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Caller:
    """A client with one connection, made anew where it was reset."""

    def __init__(self, proxy: FaultProxy, authority: Path) -> None:
        url = urlsplit(proxy.endpoint)
        context = ssl.create_default_context(cafile=str(authority))
        self.connection = http.client.HTTPSConnection(str(url.hostname), url.port, context=context, timeout=60)

    def ask(self, method: str, path: str) -> tuple[int, bytes, bool] | str:
        """Status, body, and whether there was a checksum; or that the connection was reset."""
        try:
            self.connection.request(method, path, body=BODY if method == "PUT" else None)
            answer = self.connection.getresponse()
            return answer.status, answer.read(), answer.getheader("x-amz-checksum-sha256") is not None
        except (OSError, http.client.HTTPException):
            self.connection.close()
            return RESET


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    made = CaShape().make()
    (folder / "ca.pem").write_bytes(made.pem)
    made.server().write(folder, "proxy")
    return folder / "ca.pem"


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as cloud:
        thread = threading.Thread(target=cloud.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield cloud
        cloud.shutdown()
        thread.join()


@pytest.fixture
def proxy(cloud: Cloud, authority: Path) -> Iterator[FaultProxy]:
    endpoint = f"http://127.0.0.1:{cloud.server_port}"
    with running_proxy(endpoint, authority.with_name("proxy.crt"), authority.with_name("proxy.key")) as proxy:
        yield proxy


@pytest.fixture
def caller(proxy: FaultProxy, authority: Path) -> Iterator[Caller]:
    caller = Caller(proxy, authority)
    with closing(caller.connection):
        yield caller


def refused(code: str, status: int) -> tuple[int, bytes, bool]:
    return (
        status,
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on demand</Message></Error>".encode(),
        False,
    )


RIGHT = (200, BODY, True)
WRONG = b"0123446789"
FAULTS: dict[str, tuple[Fault, object, int]] = {
    "late": (Late(0.01), RIGHT, 1),
    "refused": (Refused("SlowDown", 503), refused("SlowDown", 503), 0),
    "refused though done": (Refused("InternalError", 500, done=True), refused("InternalError", 500), 1),
    "request cut at its head": (CutRequest(), RESET, 0),
    "request cut in its body": (CutRequest(after=5), RESET, 0),
    "answer lost": (LostAnswer(), RESET, 1),
    "answer cut": (CutAnswer(), RESET, 1),
    "wrong bytes": (WrongBytes(), (200, WRONG, True), 1),
    "wrong bytes without checksum": (WrongBytes(told=False), (200, WRONG, False), 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_befalls_the_second_request_that_fits_and_no_other(
    name: str, cloud: Cloud, proxy: FaultProxy, caller: Caller
) -> None:
    fault, seen, times_done = FAULTS[name]
    planned = proxy.plan(fault, PUT, first=2)
    assert caller.ask("PUT", "/bucket/1.parquet") == RIGHT
    assert caller.ask("PUT", "/bucket/1.json") == RIGHT
    assert caller.ask("GET", "/bucket/1.parquet") == RIGHT
    assert planned.befallen == []
    assert caller.ask("PUT", "/bucket/2.parquet") == seen
    assert planned.befallen == ["PUT /bucket/2.parquet"]
    assert cloud.done.count(("PUT", "/bucket/2.parquet", BODY)) == times_done
    assert caller.ask("PUT", "/bucket/3.parquet") == RIGHT
    assert len(cloud.done) == 4 + times_done
    assert cloud.hosts == {urlsplit(proxy.endpoint).netloc}, "the host is the one that was signed"


def test_a_fault_lasts_until_it_is_taken_back(proxy: FaultProxy, caller: Caller) -> None:
    gone = proxy.plan(Refused("NoSuchBucket", 404), PUT, Where("HEAD", "^/bucket"), times=None)
    assert [caller.ask(method, "/bucket/1.parquet")[0] for method in ("PUT", "PUT", "HEAD", "GET")] == [
        404,
        404,
        404,
        200,
    ]
    proxy.take_back(gone)
    assert caller.ask("PUT", "/bucket/1.parquet") == RIGHT


def test_what_was_planned_first_befalls_first_and_all_that_fit_count(proxy: FaultProxy, caller: Caller) -> None:
    proxy.plan(Refused("SlowDown", 503), PUT, times=2)
    proxy.plan(Refused("InternalError", 500), PUT, first=2, times=2)
    assert [caller.ask("PUT", "/bucket/1.parquet")[0] for _ in range(5)] == [503, 503, 500, 500, 200]


def test_somebody_else_comes_before_the_request(cloud: Cloud, proxy: FaultProxy, caller: Caller) -> None:
    proxy.plan(Meanwhile(lambda path: cloud.done.append(("taken", path, b""))), PUT)
    assert caller.ask("PUT", "/bucket/1.parquet") == RIGHT
    assert cloud.done == [("taken", "/bucket/1.parquet", b""), ("PUT", "/bucket/1.parquet", BODY)]
