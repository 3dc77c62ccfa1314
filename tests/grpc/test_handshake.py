"""Certificates over real connections: the handshake refuses what it can, the resolver the rest, on every call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest

from server.certificates.certificates_in_force import Certificates
from server.certificates.sources import CertificateSources
from server.errors import Unauthenticated
from tests.certificates_builder import CLUSTER, LIFETIME, SERVER, Ca, CaShape, Pair, name, now, put, shared_rdn

METHOD = "/test.Echo/WhoAmI"
Asking = grpc.UnaryUnaryMultiCallable


@dataclass
class Server:
    """A server that answers every call with the caller's kind and name, or refuses it with the reason."""

    folder: Path
    host: Ca = field(default_factory=CaShape().make)
    user: Ca = field(default_factory=CaShape().make)
    local: bool = False
    serials: frozenset[str] = frozenset()
    problems: list[str] = field(default_factory=list)
    clock: float = 0.0
    age: timedelta = timedelta()
    """How much later than now it is when callers are looked at."""
    port: int = 0

    def start(self) -> grpc.Server:
        self.pair = self.host.server()
        certificate, key = self.pair.write(self.folder, "server")
        hosts, users = self.host.write(self.folder, "hosts")[0], self.user.write(self.folder, "users")[0]
        locals_ = (self.host.certificate, self.user.certificate) if self.local else ()
        self.certificates = Certificates(
            CertificateSources(certificate, key, (hosts,), (users,), locals_),
            CLUSTER,
            lambda: self.serials,
            self.problems.append,
            clock=lambda: self.clock,
        )
        server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(self.who_am_i)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"WhoAmI": handler})])
        self.port = server.add_secure_port("127.0.0.1:0", self.certificates.server_credentials())
        server.start()
        return server

    def who_am_i(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        [pem] = context.auth_context()["x509_pem_cert"]
        try:
            identity = self.certificates.resolve(pem, context.peer(), datetime.now(UTC) + self.age)
        except Unauthenticated as refusal:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, f"{refusal.reason}: {refusal.message}")
        return f"{identity.kind.value} {identity.name}".encode()

    @contextmanager
    def channel(self, client: Pair | None, ca: Pair | None = None) -> Iterator[Asking]:
        pair = (client.key_pem, client.pem) if client else (None, None)
        credentials = grpc.ssl_channel_credentials((ca or self.host).pem, *pair)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            yield channel.unary_unary(METHOD)

    def call(self, client: Pair | None, ca: Pair | None = None) -> str:
        """What the server says, or the status code and text of its refusal."""
        with self.channel(client, ca) as who_am_i:
            return ask(who_am_i)


def ask(who_am_i: Asking) -> str:
    future = who_am_i.future(b"", timeout=60)
    if future.code() is grpc.StatusCode.OK:
        return future.result().decode()
    return f"{future.code().name} {future.details()}"


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    running: list[grpc.Server] = []

    def start(**options: object) -> Server:
        server = Server(tmp_path, **options)  # type: ignore[arg-type]
        running.append(server.start())
        return server

    yield start
    for server in running:
        server.stop(None).wait()


CALLERS: dict[str, tuple[Callable[[Server], Pair | None], str]] = {
    "user": (lambda s: s.user.user(), "user alice"),
    "component": (lambda s: s.host.component(), "component host-1"),
    "user with a long name": (lambda s: s.user.user("n" * 128), "user n"),
    "names sharing an RDN": (lambda s: s.user.leaf(shared_rdn(("CN", "zoe"), ("O", "a"), ("O", "b"))), "user zoe"),
    "pinned to loopback": (
        lambda s: s.user.leaf(name(("CN", "pin"), ("O", "a"), ("PINNED_IP", "127.0.0.1"))),
        "user pin",
    ),
    "no certificate": (lambda _: None, "UNAVAILABLE"),
    "wrong CA": (lambda _: CaShape().make().user(), "UNAVAILABLE"),
    "expired": (lambda s: s.user.user(ends=now() - timedelta(minutes=1)), "UNAVAILABLE"),
    "not valid yet": (lambda s: s.user.user(begins=now() + timedelta(minutes=1)), "UNAVAILABLE"),
    "for servers": (lambda s: s.user.user(usage=SERVER), "UNAVAILABLE"),
    "foreign cluster": (
        lambda s: s.user.leaf(name(("CN", "alice"), ("O", "a"), ("CLUSTER", "leaf.test"))),
        "UNAUTHENTICATED UNAUTHENTICATED: the certificate is another cluster's",
    ),
    "user with a system role": (lambda s: s.user.component(), "UNAUTHENTICATED"),
    "person of the host CA": (lambda s: s.host.user(), "UNAUTHENTICATED"),
    "usage restricted": (lambda s: s.user.leaf(name(("CN", "a"), ("O", "a"), ("OU", "usage:db"))), "UNAUTHENTICATED"),
    "pinned elsewhere": (
        lambda s: s.user.leaf(name(("CN", "a"), ("O", "a"), ("PINNED_IP", "10.0.0.1"))),
        "UNAUTHENTICATED UNAUTHENTICATED: the certificate is pinned to another address",
    ),
}


@pytest.mark.parametrize("case", CALLERS)
def test_who_a_caller_is(serve: Callable[..., Server], case: str) -> None:
    make, answer = CALLERS[case]
    server = serve()
    assert server.call(make(server)).startswith(answer)


def test_an_intermediate_passes_the_handshake_and_is_refused(serve: Callable[..., Server]) -> None:
    server = serve()
    between = server.user.intermediate()
    leaf = between.user()

    class Chain(Pair):
        pem = leaf.pem + between.pem

    assert server.call(Chain(leaf.certificate, leaf.key)).startswith("UNAUTHENTICATED")


def test_a_client_refuses_a_server_of_another_ca(serve: Callable[..., Server]) -> None:
    server = serve()
    assert server.call(server.user.user(), CaShape().make()).startswith("UNAVAILABLE")


def test_what_a_local_ca_signed_is_accepted_once_on_record(serve: Callable[..., Server]) -> None:
    server = serve(local=True)
    client = server.user.user()
    with server.channel(client) as who_am_i:
        assert ask(who_am_i) == "UNAUTHENTICATED UNAUTHENTICATED: the certificate is not on record"
        server.serials = frozenset({client.serial})
        assert ask(who_am_i) == "user alice"


def test_a_certificate_that_expires_is_refused_on_its_open_connection(serve: Callable[..., Server]) -> None:
    server = serve()
    with server.channel(server.user.user()) as who_am_i:
        assert ask(who_am_i) == "user alice"
        server.age = LIFETIME
        assert ask(who_am_i) == "UNAUTHENTICATED CERTIFICATE_EXPIRED: the certificate has expired"


def test_a_replaced_ca_is_refused_on_open_connections_and_at_the_handshake(serve: Callable[..., Server]) -> None:
    server, other = serve(), CaShape().make()
    client = server.user.user()
    with server.channel(client) as who_am_i:
        assert ask(who_am_i) == "user alice"
        put(server.folder / "users.crt", other.pem)
        assert server.certificates.reload_if_changed()
        assert ask(who_am_i).startswith("UNAUTHENTICATED")
        assert server.call(client).startswith("UNAVAILABLE")
        assert server.call(other.user("bob")) == "user bob"


def test_a_handshake_sees_a_new_server_certificate_and_open_connections_go_on(serve: Callable[..., Server]) -> None:
    server, new_ca = serve(), CaShape().make()
    client = server.user.user()
    with server.channel(client) as who_am_i:
        assert ask(who_am_i) == "user alice"
        new_ca.server().write(server.folder, "server")
        assert server.call(client) == "user alice", "files are looked at no more than twice a second"
        server.clock += 0.5
        assert server.call(client, new_ca) == "user alice"
        assert server.call(client).startswith("UNAVAILABLE")
        assert ask(who_am_i) == "user alice"
    assert server.problems == []


def test_a_broken_server_certificate_leaves_the_old_in_use(serve: Callable[..., Server]) -> None:
    server = serve()
    (server.folder / "server.crt").write_bytes(b"broken")
    server.clock += 1
    assert server.call(server.user.user()) == "user alice"
    assert server.problems == ["the server certificate server.crt is not a PEM certificate"]
