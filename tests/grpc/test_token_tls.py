"""TLS of the listener for tokens: the server's certificate alone, and its successor when the file is replaced."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from server.certificates.certificates_in_force import Certificates
from server.certificates.sources import CertificateSources
from tests.certificates_builder import CLUSTER, Ca, CaShape, Pair

METHOD = "/test.Echo/Certificate"


@dataclass
class Server:
    """Answers with the client certificate it sees, on a listener for tokens."""

    folder: Path
    host: Ca = field(default_factory=CaShape().make)
    user: Ca = field(default_factory=CaShape().make)

    def start(self) -> grpc.Server:
        certificate, key = self.host.server().write(self.folder, "server")
        cas = [ca.write(self.folder, name)[0] for name, ca in (("hosts", self.host), ("users", self.user))]
        sources = CertificateSources(certificate, key, (cas[0],), (cas[1],))
        self.certificates = Certificates(sources, CLUSTER, frozenset, lambda _: None)
        server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(
            lambda _, context: b"".join(context.auth_context().get("x509_pem_cert", ()))
        )
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", {"Certificate": handler})])
        self.port = server.add_secure_port("127.0.0.1:0", self.certificates.token_credentials())
        server.start()
        return server

    def certificate_seen(self, client: Pair | None = None, ca: Ca | None = None) -> bytes:
        pair = (client.key_pem, client.pem) if client else (None, None)
        credentials = grpc.ssl_channel_credentials((ca or self.host).pem, *pair)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{self.port}", credentials, options) as channel:
            seen: bytes = channel.unary_unary(METHOD)(b"", timeout=60)
        return seen


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    running = found.start()
    yield found
    running.stop(None).wait()


def test_no_client_certificate_is_asked_for_and_an_offered_one_is_not_seen(server: Server) -> None:
    assert server.certificate_seen() == b""
    assert server.certificate_seen(server.user.user()) == b""
    assert server.certificate_seen(CaShape().make().user()) == b""


def test_a_replaced_server_certificate_is_used_from_the_next_handshake(server: Server) -> None:
    other = CaShape().make()
    with pytest.raises(grpc.RpcError):
        server.certificate_seen(ca=other)
    other.server().write(server.folder, "server")
    assert server.certificates.reload_if_changed()
    assert server.certificate_seen(ca=other) == b""
    with pytest.raises(grpc.RpcError):
        server.certificate_seen()


def test_a_user_ca_counts_as_an_issuer_of_names(server: Server) -> None:
    assert server.certificates.give_user_names
