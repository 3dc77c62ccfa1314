"""As `downloading`, for asyncio; files are written on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from extaudit_client.download_state import DownloadState, PartFile
from extaudit_client.errors import ConnectionFailed, from_rpc
from extaudit_client.patience import RECORDING_SILENCE_SECONDS
from extaudit_client.recording_rows import Recording
from extaudit_client.retries import Retries


class AsyncDownload:
    """Downloads one recording from its beginning to its end."""

    def __init__(
        self,
        open_call: Callable[..., Any],
        session_id: str,
        upload_id: str,
        retries: Retries,
        silence: float = RECORDING_SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._retries = retries
        self._silence = silence
        self._state = DownloadState(session_id, upload_id)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes that aren't there yet, as they come; at their end the whole is checked. Raises as `Download`."""
        failures = 0
        while True:
            before = self._state.size
            call = self._open_call(self._state.request())
            try:
                while (answer := await self._read(call)) is not grpc.aio.EOF:
                    if data := self._state.take(answer):
                        yield data
                break
            except grpc.RpcError as error:
                failure = from_rpc(error)
            except ConnectionFailed as error:
                failure = error
            finally:
                call.cancel()
            failures = 1 if self._state.size > before else failures + 1
            if not self._retries.allow(failure, failures, answered=self._state.recording is not None):
                raise failure
            await asyncio.sleep(self._retries.delay(failures, failure.retry_after))
        self._state.check()

    async def _read(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._silence):
                return await call.read()
        except TimeoutError:
            raise ConnectionFailed(f"the service said nothing for {self._silence:.0f} s") from None

    async def to_file(self, path: Path, progress: Callable[[Recording, int], None] | None = None) -> Recording:
        """Download to a file, going on with what an interrupted download left in `PATH.part`. Raises as `Download`."""
        with PartFile(path) as file:
            await asyncio.to_thread(self._state.take_in, file.left())
            async for data in self.chunks():
                await asyncio.to_thread(file.write, data)
                if progress is not None:
                    progress(self._state.known, self._state.size)
            await asyncio.to_thread(file.finish)
        return self._state.known
