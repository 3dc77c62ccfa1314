"""An HTTP listener in the running loop: uvicorn without its signals, its logs and its own ways of failing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from server.config.rules import parse_address

_MAX_CONNECTIONS = 256
_MAX_HEADER_BYTES = 16 * 1024
_IDLE_SECONDS = 15
_GRACE_SECONDS = 2
_BACKLOG = 128


class ListenerError(Exception):
    """The listener can't start; the text is for the person who starts the service and names no path."""


class OperationsServer:
    """Serves an application on one address, by TLS if it has a certificate."""

    def __init__(self, listen: str, app: ASGIApp, certfile: Path | None = None, keyfile: Path | None = None) -> None:
        """Touch nothing yet.

        Args:
            listen: `host:port` or `[v6]:port`; port 0 takes any free port.
            app: What answers.
            certfile: PEM file with certificate and chain; None means plain HTTP.
            keyfile: PEM file with its private key.
        """
        self._listen = listen
        self._app = app
        self._files = (certfile, keyfile) if certfile and keyfile else None
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Begin to serve and give back the port.

        Raises:
            ListenerError: the address can't be bound or the certificate can't be used.
        """
        context = tls_context(*self._files) if self._files else None
        bound = bind(self._listen)
        server = _Server(_uvicorn_config(self._app, context))
        task = asyncio.create_task(server.serve(sockets=[bound]), name="operations-http")
        serving = asyncio.create_task(server.serving.wait())
        try:
            await asyncio.wait((task, serving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
        if task.done():
            bound.close()
            raise ListenerError("the operations listener ended at its start") from task.exception()
        self._server, self._task = server, task
        return int(bound.getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections and end those there are, within a few seconds. Nothing happens if not started."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await self._task
        self._server = self._task = None


class _Server(uvicorn.Server):
    """Tells when it serves, and leaves the process's signals to the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = asyncio.Event()
        self.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.serving.set()


def _uvicorn_config(app: ASGIApp, context: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=_MAX_CONNECTIONS,
        h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ssl_context_factory=None if context is None else lambda *_: context,
    )


def tls_context(certificate: Path, key: Path, settings: str = "http.") -> ssl.SSLContext:
    """What TLS connections of a listener begin with; ListenerError if the pair can't be used.

    `settings` is what the names of the listener's settings begin with.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without the callback OpenSSL would ask for the password of an encrypted key on the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ListenerError(f"{settings}certificate and {settings}key can't be used together") from error
    return context


def bind(listen: str, settings: str = "http.") -> socket.socket:
    """A socket that listens on `host:port` or `[v6]:port`; ListenerError if it can't. `settings`: see `tls_context`."""
    name = f"{settings}listen"
    address = parse_address(listen)
    if address is None:
        raise ListenerError(f"{name} must be HOST:PORT or [IPv6]:PORT")
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = found[0]
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except socket.gaierror as error:
        raise ListenerError(f"{name} can't be bound (its host name has no address)") from error
    except OSError as error:
        # create_server() puts the address into the error's own text.
        raise ListenerError(f"{name} can't be bound ({os.strerror(error.errno or 0)})") from error
