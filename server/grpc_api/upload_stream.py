"""One UploadRecording stream: chunks are handed on as they come, and how much is durable is told while they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from extaudit.v1 import recording_service_pb2 as pb

from server.errors import AuditStoreError, InvalidRequest, Violation
from server.grpc_api.call import Call
from server.grpc_api.draining import Drain, stopping
from server.grpc_api.recording_messages import progress_message
from server.grpc_api.recording_requests import MAX_MESSAGE_BYTES, Chunk, upload_chunk, upload_start
from server.grpc_api.recording_use_cases import Transfers, Uploads, UploadStream

_Messages = AsyncIterator[pb.UploadRecordingRequest | Chunk]


class UploadStreaming:
    """Serves one stream. A task reads and writes; `responses` waits for durability and answers.

    Whatever ends the stream, what arrived before is made durable and told, and the upload is free for another stream.
    """

    def __init__(self, call: Call, requests: _Messages, uploads: Uploads, drain: Drain, transfers: Transfers) -> None:
        self._call = call
        self._requests = requests
        self._uploads = uploads
        self._drain = drain
        self._transfers = transfers
        self._starting: asyncio.Future[UploadStream] | None = None
        self._stream: UploadStream | None = None
        self._failure: BaseException | None = None
        self._started = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    async def responses(self) -> AsyncIterator[pb.UploadRecordingResponse]:
        """The answers: one when the upload is known, one whenever more has become durable, one at the end.

        Raises:
            AuditStoreError: why the stream ended, unless the client ended it.
        """
        self._reader = asyncio.create_task(self._read())
        self._drain.subscribe(self._stop)
        self._call.end_well = self._end
        try:
            await self._started.wait()
            if self._stream is not None:
                told = self._stream.durable_offset
                yield progress_message(self._stream.upload, told)
                while (durable := await self._next_durable(self._stream, told)) > told:
                    told = durable
                    yield progress_message(self._stream.upload, told)
                await self._close(self._stream)
                if self._stream.durable_offset > told:
                    yield progress_message(self._stream.upload, self._stream.durable_offset)
            if self._failure is not None:
                raise self._failure
        finally:
            self._drain.unsubscribe(self._stop)
            await self._let_go()

    async def _read(self) -> None:
        try:
            self._stream = await self._start(upload_start(await self._first()))
            self._started.set()
            async for message in self._requests:
                self._check_size()
                chunk = upload_chunk(message)
                self._transfers.received(len(chunk.data))
                await self._stream.write(chunk.offset, chunk.data)
        except Exception as failure:
            self._failure = self._failure or failure
        finally:
            self._ended.set()
            self._started.set()

    async def _first(self) -> pb.UploadRecordingRequest | Chunk:
        async for message in self._requests:
            self._check_size()
            return message
        raise InvalidRequest([Violation("request", "the first message must be `start`; there was none")])

    def _check_size(self) -> None:
        if self._call.received_bytes > MAX_MESSAGE_BYTES:
            raise InvalidRequest([Violation("request", f"must be at most {MAX_MESSAGE_BYTES} bytes")])

    async def _start(self, start: pb.UploadStart) -> UploadStream:
        # Shielded: of a caller that goes away meanwhile the upload is known, and given free, all the same.
        starting = self._uploads.start(
            self._call.access, start.session_id, start.upload_id, with_sha256=start.with_sha256
        )
        self._starting = asyncio.ensure_future(starting)
        return await asyncio.shield(self._starting)

    async def _next_durable(self, stream: UploadStream, told: int) -> int:
        """How much is durable, once that is more than `told`; or `told`, once the stream has ended."""
        durable = asyncio.ensure_future(stream.wait_durable(told))
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((durable, ended), return_when=asyncio.FIRST_COMPLETED)
            return durable.result() if durable.done() else told
        except AuditStoreError as failure:
            self._failure = self._failure or failure
            return told
        finally:
            durable.cancel()
            ended.cancel()

    async def _close(self, stream: UploadStream) -> None:
        self._reader.cancel()
        await asyncio.wait((self._reader,))
        try:
            await asyncio.shield(self._closed(stream))
        except AuditStoreError as failure:
            self._failure = self._failure or failure

    async def _let_go(self) -> None:
        """Give the upload free, however the stream has ended: who comes back at once must be able to go on with it."""
        self._reader.cancel()
        await asyncio.wait((self._reader,))
        if self._starting is not None:
            await asyncio.wait((self._starting,))
            if self._starting.exception() is None:
                await asyncio.wait((self._closed(self._starting.result()),))

    def _closed(self, stream: UploadStream) -> asyncio.Task[None]:
        """The upload's closing, which is under way once it has been asked for."""
        if self._closing is None:
            self._closing = asyncio.create_task(stream.close())
            self._closing.add_done_callback(_look_at)
        return self._closing

    def _stop(self) -> None:
        self._end(stopping())

    def _end(self, failure: AuditStoreError) -> None:
        if not self._ended.is_set():
            self._failure = failure
            self._reader.cancel()


def _look_at(outcome: asyncio.Future[None]) -> None:
    # A failure that no one looks at would be logged as a fault; the storage's own state tells of it.
    if not outcome.cancelled():
        outcome.exception()
