"""HTTP/1.1 as botocore and the sandbox speak it: a head, and a body whose length the head tells."""

from __future__ import annotations

from asyncio import StreamReader
from dataclasses import dataclass

MOST_HEAD_BYTES = 64 * 1024
_END = b"\r\n\r\n"


class NotSpoken(Exception):
    """A message that neither side of the tests should send."""


@dataclass(frozen=True)
class Head:
    """A first line and headers, as they came."""

    first: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str:
        """A header's value, '' if there is none."""
        return next((value for known, value in self.headers if known.lower() == name), "")

    def without(self, *names: str) -> Head:
        """The same, less these headers."""
        return Head(self.first, tuple(item for item in self.headers if item[0].lower() not in names))

    @property
    def length(self) -> int:
        """Bytes of the body that it announces."""
        if self.header("transfer-encoding"):
            raise NotSpoken("a body in chunks")
        return int(self.header("content-length") or 0)

    def encode(self) -> bytes:
        """As it is sent."""
        lines = [self.first, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join(lines).encode("latin-1") + _END


@dataclass(frozen=True)
class Answer:
    """What AWS answers, or what is answered in its place."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.first.split(" ")[1])

    def encode(self) -> bytes:
        """As it is sent."""
        return self.head.encode() + self.body


def refusal(code: str, status: int) -> Answer:
    """S3's answer of an error."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>on demand</Message></Error>".encode()
    headers = (("Content-Type", "application/xml"), ("Content-Length", str(len(text))))
    return Answer(Head(f"HTTP/1.1 {status} Refused", headers), text)


async def read_head(reader: StreamReader) -> Head:
    """The next head. IncompleteReadError where the other side closed, as it may between two."""
    first, *lines = (await reader.readuntil(_END)).decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(first, tuple((name, value.strip()) for name, _, value in pairs))


async def read_answer(reader: StreamReader, method: str) -> Answer:
    """The answer to a request, told as HTTP/1.1 on a connection that stays open."""
    head = await read_head(reader)
    body = b"" if method == "HEAD" else await reader.readexactly(head.length)
    kept = head.without("connection")
    return Answer(Head("HTTP/1.1 " + kept.first.partition(" ")[2], kept.headers), body)
