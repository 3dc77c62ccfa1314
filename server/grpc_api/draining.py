"""The end of service: new calls are refused, and streams are told to finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from server.errors import Unavailable

T = TypeVar("T")


def stopping() -> Unavailable:
    """The error of a call that ends, or isn't taken, because the server stops."""
    return Unavailable("the service is stopping; call another or try again later", reason="STOPPING")


class Drain:
    """Whether the server is stopping. Streams subscribe; a callback is called once, at once if it has begun already."""

    def __init__(self) -> None:
        self.begun = False
        """Whether the server is stopping."""
        self._callbacks: set[Callable[[], None]] = set()

    def begin(self) -> None:
        """Refuse new calls and tell the streams."""
        self.begun = True
        callbacks, self._callbacks = self._callbacks, set()
        for callback in callbacks:
            callback()

    def subscribe(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when draining begins."""
        if self.begun:
            callback()
        else:
            self._callbacks.add(callback)

    def unsubscribe(self, callback: Callable[[], None]) -> None:
        """Take a callback back; no error if it has been called."""
        self._callbacks.discard(callback)

    def refuse_when_begun(self) -> None:
        """Raise Unavailable when the server is stopping."""
        if self.begun:
            raise stopping()

    async def until_begun(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        """The items, until draining begins: then Unavailable is raised, though a next item were never to come."""
        begun = asyncio.Event()
        self.subscribe(begun.set)
        waiting = asyncio.ensure_future(begun.wait())
        item: asyncio.Future[T] | None = None
        try:
            while True:
                item = asyncio.ensure_future(anext(items))
                await asyncio.wait((item, waiting), return_when=asyncio.FIRST_COMPLETED)
                if not item.done():
                    raise stopping()
                try:
                    yield item.result()
                except StopAsyncIteration:
                    return
        finally:
            self.unsubscribe(begun.set)
            waiting.cancel()
            if item:
                item.cancel()
