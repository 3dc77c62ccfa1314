"""As `stream`, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from extaudit_client.async_status import reason_of
from extaudit_client.emitting import Acknowledgement, Message
from extaudit_client.errors import ConnectionFailed, ExtauditError
from extaudit_client.patience import SILENCE_SECONDS
from extaudit_client.retries import Retries
from extaudit_client.stream import Unacknowledged, ended_early


class AsyncEventStream:
    """Sends messages and gives their acknowledgements in order."""

    def __init__(self, open_call: Callable[[], Any], window: int, retries: Retries) -> None:
        self._open_call = open_call
        self._sent = Unacknowledged(window, retries)
        self._finished = False
        self._call = open_call()

    @property
    def full(self) -> bool:
        """True when nothing may be sent before something is acknowledged."""
        return self._sent.full

    @property
    def pending(self) -> bool:
        """True while something isn't acknowledged."""
        return bool(self._sent.messages)

    async def send(self, message: Message) -> None:
        """Send a message; it is kept until it is acknowledged."""
        self._sent.messages.append(message)
        await self._write(message)

    async def receive(self) -> AsyncIterator[Acknowledgement]:
        """Await one response and give the acknowledgements it completes, often none; raises as `EventStream`."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                response = await self._call.read()
        except TimeoutError:
            await self._reopen(ConnectionFailed(f"the service said nothing for {SILENCE_SECONDS:.0f} s"))
            return
        except grpc.RpcError as error:
            await self._reopen(await reason_of(error, self._open_call))
            return
        if response is grpc.aio.EOF:
            await self._reopen(ended_early())
            return
        for acknowledgement in self._sent.note(response):
            yield acknowledgement

    async def finish(self) -> None:
        """Say that no message follows."""
        self._finished = True
        # What is wrong with the stream is told by reading it.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    def close(self) -> None:
        """End the stream; what isn't acknowledged may or may not be stored."""
        self._call.cancel()

    async def _write(self, message: Message) -> None:
        try:
            # What is wrong with the stream is told by reading it.
            with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
                async with asyncio.timeout(SILENCE_SECONDS):
                    await self._call.write(message.request())
        except TimeoutError:
            await self._reopen(ConnectionFailed(f"the service took nothing for {SILENCE_SECONDS:.0f} s"))

    async def _reopen(self, error: ExtauditError) -> None:
        delay = self._sent.break_off(error)
        self.close()
        await asyncio.sleep(delay)
        call = self._call = self._open_call()
        for message in tuple(self._sent.messages):
            await self._write(message)
            if self._call is not call:
                return  # it took nothing either, and all is sent over another one by now
        if self._finished:
            await self.finish()
