"""The public listener over real sockets: two documents for anybody, nothing else, and strangers kept within bounds."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from server.http_api import public_listener
from server.http_api.listener import ListenerError
from server.http_api.public_listener import PublicServer
from server.integrations.issuer_documents import IssuerDocuments
from tests.http.test_operations import Answer, ask, write_certificate
from tests.loops import in_loop, until
from tests.reserved_port import reserved_port
from tests.unit.integrations.keys_under_test import ISSUER, KeysUnderTest

CONFIGURATION = "/.well-known/openid-configuration"
KEY_SET = "/.well-known/jwks-oidc"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeysUnderTest]:
    rig = KeysUnderTest(tmp_path_factory.mktemp("state") / "state.db")
    rig.keys.look_after()
    yield rig
    rig.close()


@pytest.fixture(autouse=True)
def loop_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets are the loop's, and the service has uvloop's."""
    monkeypatch.setattr(asyncio, "run", uvloop.run)


@dataclass
class Asked:
    paths: list[str] = field(default_factory=list)


def answers(keys: KeysUnderTest, *requests: tuple[str, str], asked: Asked | None = None) -> list[Answer]:
    """Start a listener, send the requests (method, path) and stop it again."""

    async def run() -> list[Answer]:
        told = (asked or Asked()).paths.append
        server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, None, None, told)
        port = await server.start()
        try:
            return [await asyncio.to_thread(ask, port, path, method) for method, path in requests]
        finally:
            await server.stop()

    return asyncio.run(run())


def test_the_configuration_names_the_issuer_and_where_its_keys_are(keys: KeysUnderTest) -> None:
    [answer] = answers(keys, ("GET", CONFIGURATION))
    claims = ["iss", "sub", "aud", "jti", "iat", "exp", "nbf"]
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.body) == {
        "issuer": ISSUER,
        "jwks_uri": ISSUER + KEY_SET,
        "claims_supported": claims,
        "claims": claims,
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["id_token"],
        "scopes_supported": ["openid"],
        "subject_types_supported": ["public"],
    }


def test_the_key_set_has_the_public_halves_of_the_active_and_the_next_key(keys: KeysUnderTest) -> None:
    [answer] = answers(keys, ("GET", KEY_SET))
    shown = json.loads(answer.body)["keys"]
    states = keys.by_state()
    assert {key["kid"] for key in shown} == {*states["active"], *states["next"]}
    for key in shown:
        assert key.keys() == {"kty", "alg", "n", "e", "use", "kid"}
        assert (key["kty"], key["alg"], key["use"], key["e"]) == ("RSA", "RS256", "sig", "AQAB")
        assert "=" not in key["n"]


def test_below_a_path_of_the_issuer_its_documents_are_below_that_path_alone(keys: KeysUnderTest) -> None:
    documents = IssuerDocuments("https://audit.example.com/tenant", keys.keys).current()
    assert set(documents) == {"/tenant" + CONFIGURATION, "/tenant" + KEY_SET}
    assert json.loads(documents["/tenant" + CONFIGURATION])["jwks_uri"] == (
        "https://audit.example.com/tenant" + KEY_SET
    )


def test_documents_follow_the_keys(keys: KeysUnderTest) -> None:
    documents = IssuerDocuments(ISSUER, keys.keys)
    before = documents.current()
    assert documents.current() is before
    keys.keys.rotate(drop_old=True, about={})
    after = documents.current()[KEY_SET]
    assert {key["kid"] for key in json.loads(after)["keys"]} == {key.key_id for key in keys.keys.known.published}
    assert after != before[KEY_SET]


def test_documents_may_be_cached_for_minutes_and_everything_else_not_at_all(keys: KeysUnderTest) -> None:
    found = answers(keys, ("GET", CONFIGURATION), ("GET", KEY_SET), ("GET", "/none"))
    assert [each.headers["cache-control"] for each in found] == ["public, max-age=300"] * 2 + ["no-store"]
    for each in found:
        assert "server" not in each.headers
        assert each.headers["x-content-type-options"] == "nosniff"


def test_head_tells_the_length_and_gives_no_body(keys: KeysUnderTest) -> None:
    got, head = answers(keys, ("GET", KEY_SET), ("HEAD", KEY_SET))
    assert (head.status, head.body) == (200, "")
    assert head.headers["content-length"] == str(len(got.body))


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/healthz", "/readyz", "/.well-known", "/.well-known/", KEY_SET + "/", KEY_SET + "x", "//x",
     "/.well-known/../metrics", "/.well-known/jwks", "/docs", CONFIGURATION.upper(), KEY_SET.replace("-", "%2d")],
)  # fmt: skip
def test_nothing_else_is_there(keys: KeysUnderTest, path: str) -> None:
    asked = Asked()
    [answer] = answers(keys, ("GET", path), asked=asked)
    assert (answer.status, answer.body) == (404, "Not Found")
    assert asked.paths == [""]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "X"])
def test_nothing_can_be_changed(keys: KeysUnderTest, method: str) -> None:
    [answer] = answers(keys, (method, KEY_SET))
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, "Method Not Allowed", "GET, HEAD")


RAW = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a header without end": b"GET /.well-known/jwks-oidc HTTP/1.1\r\nx: " + b"a" * 100_000,
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a line that is folded": b"GET / HTTP/1.1\r\nHost: a\r\nx: y\r\n\x00z\r\n\r\n",
    "no host": b"GET /.well-known/jwks-oidc HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW)
@in_loop
async def test_what_is_no_request_is_refused_and_the_next_is_answered(keys: KeysUnderTest, name: str) -> None:
    server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, None, None)
    port = await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(RAW[name])
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 4")
        assert (await asyncio.to_thread(ask, port, KEY_SET)).status == 200
    finally:
        await server.stop()


@in_loop
async def test_who_says_nothing_loses_the_connection(keys: KeysUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_listener, "_CONNECTION_SECONDS", 0.3)
    server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, None, None)
    port = await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
    finally:
        await server.stop()


@pytest.mark.parametrize("by_tls", [False, True])
@in_loop
async def test_who_holds_places_keeps_nobody_out(
    keys: KeysUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_tls: bool
) -> None:
    """All places are held by connections that say nothing, not even hello: who comes next takes the oldest's."""
    monkeypatch.setattr(public_listener, "_MAX_CONNECTIONS", 2)
    monkeypatch.setattr(public_listener, "_CONNECTION_SECONDS", 600)
    monkeypatch.setattr(public_listener, "_HANDSHAKE_SECONDS", 600)
    pair = write_certificate(tmp_path) if by_tls else (None, None)
    server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, *pair)
    port = await server.start()
    trust = ssl.create_default_context(cafile=str(pair[0])) if by_tls else None
    try:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        for reader, _ in silent[:3]:
            assert await asyncio.wait_for(reader.read(), 60) == b""
        assert (await asyncio.wait_for(asyncio.to_thread(ask, port, KEY_SET, "GET", trust), 60)).status == 200
        for _, writer in silent:
            writer.close()
    finally:
        await server.stop()


@in_loop
async def test_who_never_shakes_hands_loses_the_connection_too(
    keys: KeysUnderTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(public_listener, "_HANDSHAKE_SECONDS", 0.2)
    certificate, key = write_certificate(tmp_path)
    server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, certificate, key)
    port = await server.start()
    trust = ssl.create_default_context(cafile=str(certificate))
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: server._open)
        await asyncio.sleep(0)  # its handshake has begun, with the time that there is for that
        monkeypatch.setattr(public_listener, "_HANDSHAKE_SECONDS", 60)
        assert (await asyncio.to_thread(ask, port, KEY_SET, "GET", trust)).status == 200
        assert await asyncio.wait_for(reader.read(), 60) == b""
        writer.close()
    finally:
        await server.stop()


@in_loop
async def test_changed_certificates_are_taken_up_and_broken_ones_refused(keys: KeysUnderTest, tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path)
    server = PublicServer("127.0.0.1:0", IssuerDocuments(ISSUER, keys.keys).current, certificate, key)
    port = await server.start()

    async def served() -> bytes:
        pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
        return ssl.PEM_cert_to_DER_cert(pem)

    try:
        assert await served() == ssl.PEM_cert_to_DER_cert(certificate.read_text())
        with pytest.raises((http.client.HTTPException, OSError)):
            await asyncio.to_thread(ask, port, KEY_SET)
        write_certificate(tmp_path)
        server.reload_if_changed()
        new = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        assert (await served(), server.problem) == (new, "")
        certificate.write_text("broken")
        server.reload_if_changed()
        assert (await served(), server.problem) == (
            new, "http.public_certificate and http.public_key can't be used together",
        )  # fmt: skip
    finally:
        await server.stop()


@in_loop
async def test_after_stop_nothing_listens_and_open_connections_end(keys: KeysUnderTest) -> None:
    listen = f"127.0.0.1:{reserved_port()}"  # else another program may be given the port as soon as it is free
    server = PublicServer(listen, IssuerDocuments(ISSUER, keys.keys).current, None, None)
    port = await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.to_thread(ask, port, KEY_SET)  # so the connection before has been taken
    await asyncio.wait_for(server.stop(), 60)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = PublicServer(f"127.0.0.1:{taken.getsockname()[1]}", dict, None, None)
        with pytest.raises(ListenerError, match=r"^http.public_listen can't be bound \(Address already in use\)$"):
            asyncio.run(server.start())
