"""A store over TLS that throws away what it is sent: `python -m benchmarks.null_sink CERTIFICATE KEY`.

It serves on a free port of the loopback, prints the port and ends with its standard input. Every PUT is answered as S3
answers one; nothing is kept and nothing is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import uvloop

from benchmarks.beside import server_of

_ANSWER = b'HTTP/1.1 200 OK\r\nETag: "0"\r\nx-amz-request-id: 0\r\nContent-Length: 0\r\n\r\n'
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It begins."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        """Count bodies down, and answer each at its end."""
        while data:
            if self._left:
                taken = min(self._left, len(data))
                self._left, data = self._left - taken, data[taken:]
                if not self._left:
                    self._transport.write(_ANSWER)
                continue
            self._head += data
            head, end, data = bytes(self._head).partition(b"\r\n\r\n")
            if not end:
                return
            self._head.clear()
            self._begin(head)

    def _begin(self, head: bytes) -> None:
        lines = head.lower().split(b"\r\n")[1:]
        headers = {name: value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        self._left = int(headers.get(b"content-length", b"0"))
        if headers.get(b"expect") == b"100-continue":
            self._transport.write(_CONTINUE)
        if not self._left:
            self._transport.write(_ANSWER)


@contextlib.contextmanager
def null_sink(certificate: Path, key: Path) -> Iterator[int]:
    """Run the sink in a process of its own; gives the port."""
    with server_of("null_sink", certificate, key) as port:
        yield port


async def _serve(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve(*sys.argv[1:]))
