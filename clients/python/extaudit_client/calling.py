"""One call with one answer: what is asked, how the answer is read, and when it is tried again.

The calls themselves are made by `event_calls` and its neighbours, once for `Client` and `AsyncClient`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import grpc
from extaudit.v1 import recording_service_pb2 as recordings_pb
from extaudit.v1.access_service_pb2_grpc import AccessServiceStub
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub
from extaudit.v1.integration_service_pb2_grpc import IntegrationServiceStub
from extaudit.v1.recording_service_pb2_grpc import RecordingServiceStub
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub

from extaudit_client.connection import Connection
from extaudit_client.diagnosis import explain
from extaudit_client.errors import ExtauditError, from_rpc
from extaudit_client.retries import Retries

_UPLOAD = "/extaudit.v1.RecordingService/UploadRecording"
Result = TypeVar("Result")
Gathered = TypeVar("Gathered", covariant=True)


class Stubs:
    """The service's methods over a channel, for threads or for asyncio."""

    def __init__(self, channel: Any) -> None:
        self.audit_log: Any = AuditLogServiceStub(channel)
        self.access: Any = AccessServiceStub(channel)
        self.integrations: Any = IntegrationServiceStub(channel)
        self.recordings: Any = RecordingServiceStub(channel)
        self.upload_recording: Any = channel.stream_stream(
            _UPLOAD, response_deserializer=recordings_pb.UploadRecordingResponse.FromString
        )
        """Takes requests that are encoded already."""
        self.storages: Any = ExternalAuditStorageServiceStub(channel)
        self.status: Any = StatusServiceStub(channel)


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """A call with one request and one answer. Only one that is `repeatable` is tried again by itself."""

    method: Callable[[Stubs], Any]
    request: Any
    read: Callable[[Any], Result]
    repeatable: bool = True


class Collector(Protocol[Gathered]):
    """Takes the parts of one answer."""

    def add(self, part: Any) -> bool:
        """Take the next part; gives False when no more can belong to it."""
        ...

    def whole(self) -> Gathered:
        """What they are together."""
        ...


@dataclass(frozen=True, slots=True)
class Gathering(Generic[Gathered]):
    """A call with one request whose answer comes in parts; it is repeatable."""

    method: Callable[[Stubs], Any]
    request: Any
    collector: Callable[[], Collector[Gathered]]


class Attempts:
    """The tries of one call, all within its time."""

    def __init__(self, retries: Retries, timeout: float, *, repeatable: bool, answered: bool) -> None:
        self._retries = retries
        self._end = time.monotonic() + timeout
        self._repeatable = repeatable
        self._answered = answered
        self._failures = 0

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(self._end - time.monotonic(), 0.0)

    def delay_after(self, error: ExtauditError) -> float:
        """Seconds to wait before the next try.

        Raises:
            ExtauditError: the error, where there is none.
        """
        self._failures += 1
        if not self._repeatable or not self._retries.allow(error, self._failures, answered=self._answered):
            raise error
        delay = self._retries.delay(self._failures, error.retry_after)
        if delay >= self.left:
            raise error
        return delay


class Caller:
    """Makes calls over one channel, and knows whether the service has ever answered there."""

    def __init__(self, connection: Connection, channel: Any, timeout: float, retries: Retries) -> None:
        self.connection = connection
        self.stubs = Stubs(channel)
        self._channel = channel
        self.timeout = timeout
        self.retries = retries
        self._answered = False

    def close(self) -> None:
        """Close the channel; calls under way fail."""
        self._channel.close()

    async def close_async(self) -> None:
        """Close a channel for asyncio."""
        await self._channel.close()

    def attempts(self, *, repeatable: bool) -> Attempts:
        """The tries that a call has."""
        return Attempts(self.retries, self.timeout, repeatable=repeatable, answered=self._answered)

    def run(self, call: Call[Result]) -> Result:
        """Call and wait for the answer."""
        attempts, method = self.attempts(repeatable=call.repeatable), call.method(self.stubs)
        with self.errors():
            while True:
                try:
                    return self.note(call, method(call.request, timeout=attempts.left))
                except grpc.RpcError as error:
                    delay = attempts.delay_after(from_rpc(error))
                self.retries.wait(delay)

    async def run_async(self, call: Call[Result]) -> Result:
        """Call and await the answer; the channel must be one for asyncio."""
        attempts, method = self.attempts(repeatable=call.repeatable), call.method(self.stubs)
        with self.errors():
            while True:
                try:
                    return self.note(call, await method(call.request, timeout=attempts.left))
                except grpc.RpcError as error:
                    delay = attempts.delay_after(from_rpc(error))
                await asyncio.sleep(delay)

    def gather(self, call: Gathering[Gathered]) -> Gathered:
        """Call and put the answer together."""
        attempts, method = self.attempts(repeatable=True), call.method(self.stubs)
        with self.errors():
            while True:
                collector, stream = call.collector(), method(call.request, timeout=attempts.left)
                try:
                    if not all(collector.add(part) for part in stream):
                        stream.cancel()
                    self._answered = True
                    return collector.whole()
                except grpc.RpcError as error:
                    delay = attempts.delay_after(from_rpc(error))
                self.retries.wait(delay)

    async def gather_async(self, call: Gathering[Gathered]) -> Gathered:
        """Call and await the answer, put together."""
        attempts, method = self.attempts(repeatable=True), call.method(self.stubs)
        with self.errors():
            while True:
                collector, stream = call.collector(), method(call.request, timeout=attempts.left)
                try:
                    async for part in stream:
                        if not collector.add(part):
                            stream.cancel()
                            break
                    self._answered = True
                    return collector.whole()
                except grpc.RpcError as error:
                    delay = attempts.delay_after(from_rpc(error))
                await asyncio.sleep(delay)

    def note(self, call: Call[Result], answer: Any) -> Result:
        """Read an answer."""
        self._answered = True
        return call.read(answer)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate what fails in the block."""
        try:
            yield
        except grpc.RpcError as error:
            raise explain(from_rpc(error), self.connection) from None
        except ExtauditError as error:
            raise explain(error, self.connection) from None
