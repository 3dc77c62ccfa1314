"""Key sets from files and from a real server over real TLS: bounded in size and time, and from nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from server.tokens.jwks import MAX_JWKS_BYTES, JwksProblem
from server.tokens.sources import JwksFile, JwksUrl
from tests.certificates_builder import CaShape
from tests.jwks_server import Answer, JwksServer, whole
from tests.loops import in_loop

DOCUMENT = b'{"keys": []}'


async def problem(source: JwksFile | JwksUrl) -> str:
    with pytest.raises(JwksProblem) as caught:
        await source.read()
    return str(caught.value)


@in_loop
async def test_keys_come_by_https(tmp_path: Path) -> None:
    with JwksServer(tmp_path, DOCUMENT) as server:
        source = JwksUrl(server.url, server.ca)
        assert await source.read() == DOCUMENT
        server.document = b"other"
        assert await source.read() == b"other"
    assert [request[":target"] for request in server.requests] == ["/keys?of=1"] * 2
    assert not any("authorization" in (name.lower() for name in request) for request in server.requests)


@in_loop
async def test_keys_come_by_plain_http_where_it_is_configured(tmp_path: Path) -> None:
    with JwksServer(tmp_path, DOCUMENT, plain=True) as server:
        assert await JwksUrl(server.url).read() == DOCUMENT


@in_loop
async def test_a_server_of_another_authority_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(CaShape().make().pem)
    with JwksServer(tmp_path, DOCUMENT) as server:
        assert await problem(JwksUrl(server.url, other)) == "the TLS handshake with the key set's server failed"
        assert await problem(JwksUrl(server.url)) == "the TLS handshake with the key set's server failed"
    assert server.requests == []


@in_loop
async def test_a_server_of_another_name_is_refused(tmp_path: Path) -> None:
    with JwksServer(tmp_path, DOCUMENT) as server:
        other = server.url.replace("localhost", "127.0.0.2")
        assert await problem(JwksUrl(other, server.ca)) in (
            "the TLS handshake with the key set's server failed",
            "the key set's server can't be reached",
        )
    assert server.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@in_loop
async def test_a_redirect_is_not_followed(tmp_path: Path, status: int) -> None:
    with JwksServer(tmp_path) as server:
        server.answer = lambda handler: whole(handler, DOCUMENT, status, Location="/keys")
        told = await problem(JwksUrl(server.url, server.ca))
    assert told == "the key set's server answered with a redirect, which is not followed"
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [201, 204, 404, 500])
@in_loop
async def test_only_the_status_200_is_an_answer(tmp_path: Path, status: int) -> None:
    with JwksServer(tmp_path) as server:
        server.answer = lambda handler: whole(handler, b"" if status == 204 else DOCUMENT, status)
        assert await problem(JwksUrl(server.url, server.ca)) == f"the key set's server answered with status {status}"


@in_loop
async def test_a_huge_set_is_given_up_before_it_is_read_whole(tmp_path: Path) -> None:
    sent = 0

    def endless(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while sent < 1_000 * MAX_JWKS_BYTES:
            handler.wfile.write(b" " * 65_536)
            sent += 65_536

    with JwksServer(tmp_path, answer=endless) as server:
        assert await problem(JwksUrl(server.url, server.ca)) == f"the key set is larger than {MAX_JWKS_BYTES} bytes"
    assert sent < 100 * MAX_JWKS_BYTES


@in_loop
async def test_a_set_at_the_bound_is_read_also_in_chunks(tmp_path: Path) -> None:
    document = b" " * MAX_JWKS_BYTES

    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(document), 10_000):
            part = document[start : start + 10_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    with JwksServer(tmp_path, answer=chunked) as server:
        assert await JwksUrl(server.url, server.ca).read() == document


def dribbling(server: JwksServer, prefix: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(prefix)
        while not server.ended.wait(0.01):
            handler.wfile.write(b"a")

    return answer


@pytest.mark.parametrize(
    "prefix", [b"", b"HTTP/1.1 200 OK\r\nA: ", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"],
    ids=["nothing", "headers", "body"],
)  # fmt: skip
@in_loop
async def test_a_server_that_dribbles_is_given_up_in_time(tmp_path: Path, prefix: bytes) -> None:
    with JwksServer(tmp_path) as server:
        server.answer = dribbling(server, prefix)
        source = JwksUrl(server.url, server.ca, seconds=0.3)
        assert await problem(source) == "the key set's server gave no whole answer in 0.3 s"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda h: h.wfile.write(b"SSH-2.0-x\r\n\r\n"), "the key set's server doesn't answer as HTTP has it"),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
         "the key set's server doesn't answer as HTTP has it"),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000),
         "the key set's server doesn't answer as HTTP has it"),
        (lambda h: (h.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), h.connection.close()),
         "the key set's server doesn't answer as HTTP has it"),
        (lambda h: whole(h, DOCUMENT, Content_Encoding="gzip"),
         "the key set's server answered in an encoding that was not asked for"),
    ],
)  # fmt: skip
@in_loop
async def test_what_is_no_http_answer_is_refused(tmp_path: Path, answer: Callable[..., None], told: str) -> None:
    def answered(handler: BaseHTTPRequestHandler) -> None:
        answer(handler)
        handler.close_connection = True

    with JwksServer(tmp_path, answer=answered) as server:
        assert await problem(JwksUrl(server.url, server.ca)) == told


@in_loop
async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    with JwksServer(tmp_path) as server:
        url = server.url
    assert await problem(JwksUrl(url, server.ca)) == "the key set's server can't be reached"


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "http_proxy"])
@in_loop
async def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    with JwksServer(tmp_path, DOCUMENT) as server:
        assert await JwksUrl(server.url, server.ca).read() == DOCUMENT


def test_a_ca_file_that_holds_none_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(JwksProblem, match="the CA file for the key set's server can't be used"):
        JwksUrl("https://id.test/keys", tmp_path / "ca.pem")


@in_loop
async def test_keys_come_from_a_file_as_it_is_now(tmp_path: Path) -> None:
    source = JwksFile(tmp_path / "keys.json")
    assert await problem(source) == "the key set's file can't be read (No such file or directory)"
    (tmp_path / "keys.json").write_bytes(DOCUMENT)
    assert await source.read() == DOCUMENT
    (tmp_path / "keys.json").write_bytes(b" " * (2 * MAX_JWKS_BYTES))
    assert len(await source.read()) == MAX_JWKS_BYTES + 1


@in_loop
async def test_a_file_that_is_none_holds_nothing_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "keys.json")
    assert await problem(JwksFile(tmp_path / "keys.json")) == "the key set's file can't be read (is a FIFO, not a file)"
