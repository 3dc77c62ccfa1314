"""The proxy on a thread of its own: `with running_proxy(sandbox.endpoint, certificate, key) as proxy`."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.fault_proxy.exchange import Exchange, Fault
from tests.fault_proxy.messages import MOST_HEAD_BYTES, read_head
from tests.fault_proxy.plan import Plan, Planned, Where
from tests.polling import until

_SECONDS = 120


class FaultProxy:
    """Passes on what comes to it over TLS. What is planned befalls it; `endpoint` is its URL."""

    def __init__(self, upstream: str) -> None:
        url = urlsplit(upstream)
        assert url.hostname, upstream
        assert url.port, upstream
        self.endpoint = ""
        self._plan = Plan()
        self._upstream = (url.hostname, url.port)
        self._connections: set[asyncio.Task[None]] = set()

    def plan(self, fault: Fault, *where: Where, first: int = 1, times: int | None = 1) -> Planned:
        """Have a fault befall the `first` request of those that fit and the ones after it, `times` in all.

        `times` of None is until it is taken back.
        """
        return self._plan.add(Planned(where, fault, first, times))

    def take_back(self, planned: Planned) -> None:
        """Let requests pass again."""
        self._plan.take_back(planned)

    def take_all_back(self) -> None:
        """Let every request pass again."""
        self._plan.clear()

    def wait_for(self, planned: Planned) -> None:
        """Return once it befell all that it was to befall."""
        until(lambda: planned.is_over)

    async def listen(self, context: ssl.SSLContext) -> asyncio.Server:
        """Accept connections."""
        listening = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context, limit=MOST_HEAD_BYTES)
        self.endpoint = f"https://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        return listening

    async def end(self, listening: asyncio.Server) -> None:
        """Accept none any more, and end those there are."""
        listening.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.get_running_loop().shutdown_default_executor()

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Pass on one request after the other, until the connection ends."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():  # of one that was reset the rest of a body may be there yet
                exchange = Exchange(await read_head(reader), reader, writer, self._upstream)
                fault = self._plan.fault_of(exchange.method, exchange.target)
                if fault is None:
                    await exchange.answer(await exchange.pass_on())
                else:
                    await fault.befall(exchange)


@contextmanager
def running_proxy(upstream: str, certificate: Path, key: Path) -> Iterator[FaultProxy]:
    """Serve until the end of the block. `upstream` is the sandbox's endpoint, by http."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    proxy = FaultProxy(upstream)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fault-proxy")
    thread.start()
    try:
        listening = asyncio.run_coroutine_threadsafe(proxy.listen(context), loop).result(_SECONDS)
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.end(listening), loop).result(_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
