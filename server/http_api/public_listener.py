"""The public listener: a few documents for anybody, and nothing else.

It is the one that strangers reach. So it takes a bounded number of connections, each for a bounded time, handshake
included, and one request of each. Where all places are taken the oldest connection gives its up: whoever asks is
answered at once, so that only those who hold places on purpose lose one, and can't keep others out.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import h11

from server.certificates.watched_files import WatchedFiles
from server.http_api.listener import ListenerError, bind, tls_context
from server.regular_files import read_regular

_log = logging.getLogger(__name__)
SETTINGS: Final = "http.public_"
_MAX_CONNECTIONS: Final = 128
_CONNECTION_SECONDS: Final = 10.0
_HANDSHAKE_SECONDS: Final = 5.0
_MAX_HEADER_BYTES: Final = 16 * 1024
_PAUSE_SECONDS: Final = 0.5
_HEADERS: Final = (("X-Content-Type-Options", "nosniff"), ("Connection", "close"))
_CACHED: Final = (("Content-Type", "application/json"), ("Cache-Control", "public, max-age=300"))
_NOT_CACHED: Final = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))

Documents = Callable[[], Mapping[str, bytes]]
"""Each document's JSON by its path. Called on the loop for every request, so cheap."""


class PublicServer:
    """Serves documents on one address, by TLS if it has a certificate, whose files it reads again when they change."""

    def __init__(
        self,
        listen: str,
        documents: Documents,
        certificate: Path | None,
        key: Path | None,
        asked: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Touch nothing yet. `asked` is told the path of each document that was given, '' for anything else."""
        self._listen = listen
        self._documents = documents
        self._pair = (certificate, key) if certificate and key else None
        self._files = WatchedFiles(self._pair or ())
        self._asked = asked
        self._context: ssl.SSLContext | None = None
        self.chain = b""
        """PEM of the certificates in force; empty without TLS, and before the start."""
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._open: dict[asyncio.Task[None], None] = {}
        """Connections, oldest first."""
        self.problem = ""
        """Why changed certificates are refused, while the old ones stay; '' where nothing is."""

    async def start(self) -> int:
        """Begin to serve and give back the port.

        Raises:
            ListenerError: the address can't be bound or the certificate can't be used.
        """
        if self._pair:
            self._files.changed()
            self._take_up(*self._pair)
        self._socket = bind(self._listen, SETTINGS)
        self._socket.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._socket), name="public-http")
        return int(self._socket.getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections, and end those there are. Nothing happens if not started."""
        if self._accepting is None or self._socket is None:
            return
        for task in (self._accepting, *self._open):
            task.cancel()
        await asyncio.gather(self._accepting, *self._open, return_exceptions=True)
        self._socket.close()
        self._accepting = None

    def reload_if_changed(self) -> None:
        """Take up changed certificate files for connections from now on; blocks."""
        if self._pair is None or self._context is None or not self._files.changed():
            return
        try:
            self._take_up(*self._pair)
        except ListenerError as error:
            self.problem = str(error)
            fields = {"reason": self.problem}
            _log.error("changed certificates of the public listener are refused", extra={"fields": fields})
        else:
            self.problem = ""
            _log.info("the certificates of the public listener were read again")

    def _take_up(self, certificate: Path, key: Path) -> None:
        self._context = tls_context(certificate, key, SETTINGS)
        self.chain = read_regular(certificate)

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except OSError as error:  # no file descriptors left, say
                _log.warning("the public listener can't take a connection", extra={"fields": {"errno": error.errno}})
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._open[task] = None
            task.add_done_callback(self._open.pop)
            if len(self._open) > _MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                oldest.cancel()
                await asyncio.wait((oldest,))

    async def _serve(self, connection: socket.socket) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(_CONNECTION_SECONDS):
                reader, writer = await _opened(connection, self._context)
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, ssl.SSLError, h11.RemoteProtocolError):
            pass  # a stranger's connection: nothing of it is worth a line
        finally:
            if writer is None:
                connection.close()
            else:
                writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEADER_BYTES)
        try:
            request = await _request(reader, parser)
        except h11.RemoteProtocolError as error:
            if parser.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
                raise
            return _written(parser, error.error_status_hint, b"", _NOT_CACHED)
        is_head = request.method == b"HEAD"
        path = request.target.decode("ascii", "replace").partition("?")[0]
        document = self._documents().get(path)
        self._asked(path if document is not None else "")
        if document is None:
            return _written(parser, 404, b"Not Found", _NOT_CACHED, is_head=is_head)
        if request.method not in (b"GET", b"HEAD"):
            return _written(parser, 405, b"Method Not Allowed", (*_NOT_CACHED, ("Allow", "GET, HEAD")))
        return _written(parser, 200, document, _CACHED, is_head=is_head)


async def _opened(
    connection: socket.socket, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams over a connection that was taken; with `context` only after its handshake."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_MAX_HEADER_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, connection, ssl=context, ssl_handshake_timeout=_HANDSHAKE_SECONDS if context else None
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _request(reader: asyncio.StreamReader, parser: h11.Connection) -> h11.Request:
    """The request's head; RemoteProtocolError where it is none, or too long."""
    while True:
        event = parser.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise ConnectionError("no request")
        parser.receive_data(await reader.read(_MAX_HEADER_BYTES))


def _written(
    parser: h11.Connection, status: int, body: bytes, headers: tuple[tuple[str, str], ...], *, is_head: bool = False
) -> bytes:
    """The bytes of a response; HEAD's has the length of the body that it leaves out."""
    length = ("Content-Length", str(len(body)))
    response = h11.Response(status_code=status, headers=[*headers, *_HEADERS, length])
    sent = [response, *([h11.Data(body)] if body and not is_head else []), h11.EndOfMessage()]
    return b"".join(parser.send(event) or b"" for event in sent)
