"""An issuer's key server over real TLS, that answers as a test tells it."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.certificates_builder import Ca, CaShape

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class JwksServer:
    """Serves while it is entered. `document` is what it answers, or `answer` does whatever it likes."""

    folder: Path
    document: bytes = b'{"keys": []}'
    answer: Answer | None = None
    plain: bool = False
    authority: Ca = field(default_factory=lambda: CaShape().make())
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, with its target as `:target`."""
    ended: threading.Event = field(default_factory=threading.Event)
    """Set when the server stops: what dribbles may end."""

    def __enter__(self) -> JwksServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if not self.plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.authority.server().write(self.folder, "jwks-server"))
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.ca = self.folder / "jwks-ca.pem"
        self.ca.write_bytes(self.authority.pem)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http{'' if self.plain else 's'}://localhost:{self._server.server_address[1]}/keys?of=1"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append({**dict(self.headers.items()), ":target": self.path})
                if outer.answer is not None:
                    outer.answer(self)
                else:
                    whole(self, outer.document)

            def log_message(self, *_: object) -> None:
                """Nothing."""

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    """The client is gone, which is what some tests want."""

        return Handler


def whole(handler: BaseHTTPRequestHandler, document: bytes, status: int = 200, **headers: str) -> None:
    """One answer with its length."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(document)))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(document)
