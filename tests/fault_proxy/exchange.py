"""One request and what may become of it: passed on, answered, cut off."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from typing import Protocol

from tests.fault_proxy.messages import Answer, Head, read_answer

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST, and what wasn't sent is thrown away."""


class Fault(Protocol):
    """What becomes of a request instead of an answer in good time."""

    async def befall(self, exchange: Exchange) -> None:
        """Do it."""


class Exchange:
    """A request whose head has come. `target` is path and query."""

    def __init__(self, head: Head, reader: StreamReader, writer: StreamWriter, upstream: tuple[str, int]) -> None:
        self.method, self.target, _ = head.first.split(" ")
        self.head = head
        self._reader = reader
        self._writer = writer
        self._upstream = upstream
        self._body: bytes | None = None

    async def body(self) -> bytes:
        """All of the request's body."""
        if self._body is None:
            await self._ask_for_body()
            self._body = await self._reader.readexactly(self.head.length)
        return self._body

    async def begin_body(self, count: int) -> None:
        """Take so many bytes of the body, and leave the rest where it is."""
        await self._ask_for_body()
        await self._reader.readexactly(min(count, self.head.length))

    async def _ask_for_body(self) -> None:
        if self.head.header("expect").lower() == "100-continue":
            self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            await self._writer.drain()

    async def pass_on(self) -> Answer:
        """Have AWS do it. Its host is still the one that was signed."""
        body = await self.body()
        reader, writer = await asyncio.open_connection(*self._upstream)
        try:
            head = self.head.without("expect", "connection")
            writer.write(Head(head.first, (*head.headers, ("Connection", "close"))).encode() + body)
            await writer.drain()
            return await read_answer(reader, self.method)
        finally:
            writer.close()

    async def answer(self, answer: Answer) -> None:
        """Give an answer, once the request has come whole."""
        await self.body()
        self._writer.write(answer.encode() if self.method != "HEAD" else answer.head.encode())
        await self._writer.drain()

    async def reset(self, after: bytes = b"") -> None:
        """Send these bytes of an answer and end the connection, with a reset."""
        self._writer.write(after)
        await self._writer.drain()
        connection: socket.socket = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._writer.transport.abort()
