"""As `uploading`, for asyncio; the source is read on a thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc

from extaudit_client.async_status import reason_of
from extaudit_client.errors import ConnectionFailed, ExtauditError
from extaudit_client.patience import RECORDING_SILENCE_SECONDS
from extaudit_client.retries import Retries
from extaudit_client.upload_window import Progress, Source, Uploaded, UploadWindow, chunk, ended_early


class AsyncUploading:
    """Uploads a source; what isn't durable when a stream breaks is sent again on a new one."""

    def __init__(
        self,
        open_call: Callable[[], Any],
        source: Source,
        session_id: str,
        upload_id: str,
        retries: Retries,
        progress: Progress | None = None,
        silence: float = RECORDING_SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._window = UploadWindow(source, session_id, upload_id)
        self._retries = retries
        self._progress = progress
        self._silence = silence
        self._due: float | None = None
        """Since when an answer is due, by the loop's clock."""
        self._changed = asyncio.Event()
        self._reading: asyncio.Future[bytes] | None = None
        """A read of the source under way; it outlives the stream that wanted its bytes."""

    async def run(self) -> Uploaded:
        """Upload until everything is durable; raises as `Uploading.run`."""
        failures = 0
        while True:
            before = self._window.durable_offset
            failure = await self._run_stream()
            if failure is None:
                return self._window.uploaded
            failures = 1 if self._window.durable_offset > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self._window.answered):
                raise failure
            await asyncio.sleep(self._retries.delay(failures, failure.retry_after))

    async def _run_stream(self) -> ExtauditError | None:
        """One stream, to its end; gives why it ended early."""
        call = self._open_call()
        ready = asyncio.Event()
        receiving = asyncio.ensure_future(self._receive(call, ready))
        sending = asyncio.ensure_future(self._send(call, ready))
        try:
            await asyncio.wait({receiving, sending}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                await sending
            await receiving
        except grpc.RpcError as error:
            return await reason_of(error, self._open_call)
        except ConnectionFailed as error:
            return error
        finally:
            for task in (receiving, sending):
                task.cancel()
            await asyncio.gather(receiving, sending, return_exceptions=True)
            call.cancel()
        return None if self._window.done else ended_early()

    async def _receive(self, call: Any, ready: asyncio.Event) -> None:
        self._due = None  # until the first one the service may have much to read of what it has
        while (response := await self._answer(call)) is not grpc.aio.EOF:
            if ready.is_set():
                self._window.note(response, first=False)
            else:
                # Much of the source may have to be passed over.
                await asyncio.to_thread(self._window.note, response, first=True)
                ready.set()
            self._due = asyncio.get_running_loop().time() if self._window.awaits else None
            self._changed.set()
            if self._progress is not None:
                self._progress(self._window.upload_id, self._window.durable_offset)

    async def _answer(self, call: Any) -> Any:
        """The next answer.

        Raises:
            ConnectionFailed: it was due for too long.
        """
        loop, reading = asyncio.get_running_loop(), asyncio.ensure_future(call.read())
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=self._silence / 12)
                if not reading.done() and self._due is not None and loop.time() - self._due > self._silence:
                    raise ConnectionFailed(f"the service said nothing for {self._silence:.0f} s")
            return reading.result()
        finally:
            reading.cancel()

    async def _send(self, call: Any, ready: asyncio.Event) -> None:
        # What is wrong with the stream is told to the one that reads it.
        with contextlib.suppress(grpc.RpcError, asyncio.InvalidStateError):
            await call.write(self._window.start())
            await ready.wait()
            at = -1
            while (found := await self._next(at)) is not None:
                offset, data = found
                at = offset + len(data)
                await call.write(chunk(offset, data))
            await call.done_writing()

    async def _next(self, at: int) -> tuple[int, bytes] | None:
        while (found := self._window.kept_at(at)) is None:
            if self._window.at_end:
                return None
            if self._window.full:
                self._changed.clear()
                await self._changed.wait()
            else:
                await self._read()
        return found

    async def _read(self) -> None:
        if self._reading is None:
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._window.source.read))
        data = await asyncio.shield(self._reading)
        self._reading = None
        if not self._window.awaits:
            self._due = asyncio.get_running_loop().time()
        self._window.add(data)
