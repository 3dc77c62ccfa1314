"""Where key sets come from: a file, or an address that is asked by HTTP with nothing taken from the environment."""

from __future__ import annotations

import asyncio
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import h11

from rbac.writers import refusal_of
from server.regular_files import open_regular
from server.tokens.jwks import MAX_JWKS_BYTES, JwksProblem

FETCH_SECONDS = 10.0
_READ_BYTES = 16 * 1024


class JwksFile:
    """A key set in a file."""

    def __init__(self, path: Path, account: int | None = None) -> None:
        """What others than `account` and root can write is refused; None lets it be."""
        self._path = path
        self._account = account

    async def read(self) -> bytes:
        """The file's content; JwksProblem if it can't be read."""
        return await asyncio.get_running_loop().run_in_executor(None, self._read)

    def _read(self) -> bytes:
        return read_key_set(self._path, self._account)


def read_key_set(file: Path, account: int | None) -> bytes:
    """The content of a key set's file, as `JwksFile` has it."""
    try:
        with open(file, "rb", opener=open_regular) as opened:
            if account is not None and (refusal := refusal_of(file, os.fstat(opened.fileno()), account)):
                raise JwksProblem(f"the key set's file {refusal}")
            return opened.read(MAX_JWKS_BYTES + 1)
    except OSError as error:
        raise JwksProblem(f"the key set's file can't be read ({error.strerror})") from error


class JwksUrl:
    """A key set behind an https URL, or an http URL on loopback.

    One GET within `seconds` and MAX_JWKS_BYTES. A redirect is a failure: it could lead to another place than the one
    that was configured. Proxies of the environment aren't used.
    """

    def __init__(
        self,
        url: str,
        authorities: Path | None = None,
        seconds: float = FETCH_SECONDS,
        account: int | None = None,
    ) -> None:
        """JwksProblem if the CA file can't be used, or others than `account` and root can write it.

        No CA file means those of the system, no account that nobody asks who can write it.
        """
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authority = parts.netloc
        self._seconds = seconds
        self._tls = _tls(authorities, account) if parts.scheme == "https" else None

    async def read(self) -> bytes:
        """The answer's body; JwksProblem if there is none in time, or one that is too large."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._get()
        except TimeoutError as error:
            raise JwksProblem(f"the key set's server gave no whole answer in {self._seconds:g} s") from error
        except ssl.SSLError as error:
            raise JwksProblem("the TLS handshake with the key set's server failed") from error
        except OSError as error:
            raise JwksProblem("the key set's server can't be reached") from error
        except (h11.ProtocolError, ValueError) as error:
            raise JwksProblem("the key set's server doesn't answer as HTTP has it") from error

    async def _get(self) -> bytes:
        port = self._port or (443 if self._tls else 80)
        reader, writer = await asyncio.open_connection(self._host, port, ssl=self._tls, limit=_READ_BYTES)
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("Host", self._authority), ("Accept", "application/json"), ("Connection", "close")]
            request = connection.send(h11.Request(method="GET", target=self._target, headers=headers))
            writer.write((request or b"") + (connection.send(h11.EndOfMessage()) or b""))
            return await _body(connection, reader)
        finally:
            writer.transport.abort()


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            _check(event)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_JWKS_BYTES:
                raise JwksProblem(f"the key set is larger than {MAX_JWKS_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return bytes(body)
        elif not isinstance(event, h11.InformationalResponse):
            raise JwksProblem("the key set's server ended the connection before its answer")


def _check(response: h11.Response) -> None:
    if 300 <= response.status_code < 400:
        raise JwksProblem("the key set's server answered with a redirect, which is not followed")
    if response.status_code != 200:
        raise JwksProblem(f"the key set's server answered with status {response.status_code}")
    if any(name == b"content-encoding" and value.lower() != b"identity" for name, value in response.headers):
        raise JwksProblem("the key set's server answered in an encoding that was not asked for")


def _refusal(authorities: Path | None, account: int | None) -> str:
    if authorities is None or account is None:
        return ""
    return refusal_of(authorities, os.stat(authorities), account)


def _tls(authorities: Path | None, account: int | None) -> ssl.SSLContext:
    try:
        refusal = _refusal(authorities, account)
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ValueError) as error:
        raise JwksProblem("the CA file for the key set's server can't be used") from error
    if refusal:
        raise JwksProblem(f"the CA file for the key set's server {refusal}")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
