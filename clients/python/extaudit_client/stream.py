"""A stream of messages with a bounded number of them unacknowledged, that is opened again when it breaks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb

from extaudit_client.emitting import Acknowledgement, Message
from extaudit_client.errors import ExtauditError, from_rpc

_WORTH_A_RETRY = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
_TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 -- a reason; whatever renews the token file may have done so meanwhile
_MAX_DELAY = 30.0

_Outbox = SimpleQueue[pb.EmitEventsRequest | None]


@dataclass(frozen=True, slots=True)
class Retries:
    """How often in a row a broken stream is opened again, and how to wait (seconds) before it."""

    attempts: int = 8
    first_delay: float = 0.2
    wait: Callable[[float], None] = time.sleep

    def delay(self, failures: int, retry_after: float | None) -> float:
        """Seconds to wait after so many failures in a row: what the service asked for, else doubling."""
        wanted = self.first_delay * 2 ** (failures - 1) if retry_after is None else retry_after
        return min(wanted, _MAX_DELAY)


def is_worth_a_retry(error: ExtauditError) -> bool:
    """Whether the same may go well later."""
    return error.code in _WORTH_A_RETRY or error.reason == _TOKEN_EXPIRED


class EmitCall(Protocol):
    """A stream under way: its responses."""

    def __next__(self) -> pb.EmitEventsResponse:
        """Wait for the next response."""

    def cancel(self) -> bool:
        """End the stream."""


class EventStream:
    """Sends messages and gives their acknowledgements in order.

    What isn't acknowledged when the stream breaks is sent again on a new one; the service answers what it had already
    stored as repeated, but for events without a uid, which it can't know again and may then store twice. A stream that
    never got an acknowledgement is only tried again when the service said when.
    """

    def __init__(
        self, open_call: Callable[[Iterator[pb.EmitEventsRequest]], EmitCall], window: int, retries: Retries
    ) -> None:
        self._open_call = open_call
        self._window = window
        self._retries = retries
        self._pending: deque[Message] = deque()
        self._arrived: deque[pb.MessageAcknowledgement] = deque()
        self._failures = 0
        self._proven = False
        self._outbox: _Outbox = SimpleQueue()
        self._call = open_call(iter(self._outbox.get, None))

    @property
    def full(self) -> bool:
        """True when nothing may be sent before something is acknowledged."""
        return len(self._pending) >= self._window

    @property
    def pending(self) -> bool:
        """True while something isn't acknowledged."""
        return bool(self._pending)

    def send(self, message: Message) -> None:
        """Send a message; it is kept until it is acknowledged."""
        self._pending.append(message)
        self._outbox.put(message.request())

    def receive(self) -> Iterator[Acknowledgement]:
        """Wait for one response and give the acknowledgements it completes, often none.

        Raises:
            ExtauditError: the stream broke and isn't worth another try.
        """
        try:
            response = next(self._call)
        except StopIteration:
            self._reopen(
                ExtauditError("UNAVAILABLE", "", "the service ended the stream before it had acknowledged all")
            )
            return
        except grpc.RpcError as error:
            self._reopen(from_rpc(error))
            return
        self._arrived.extend(response.messages)
        while self._arrived and self._arrived[0].message_number <= response.durable_through:
            yield self._settle(self._arrived.popleft())

    def finish(self) -> None:
        """Say that no message follows."""
        self._outbox.put(None)

    def close(self) -> None:
        """End the stream; what isn't acknowledged may or may not be stored."""
        self._outbox.put(None)
        self._call.cancel()

    def _settle(self, entry: pb.MessageAcknowledgement) -> Acknowledgement:
        if not self._pending or self._pending[0].number != entry.message_number:
            raise ExtauditError("INTERNAL", "", "the service acknowledged a message out of turn")
        self._failures, self._proven = 0, True
        return self._pending.popleft().acknowledged(entry)

    def _reopen(self, error: ExtauditError) -> None:
        self._failures += 1
        promising = self._proven or error.retry_after is not None
        if not is_worth_a_retry(error) or not promising or self._failures > self._retries.attempts:
            raise error
        self.close()
        self._retries.wait(self._retries.delay(self._failures, error.retry_after))
        self._arrived.clear()
        self._outbox = SimpleQueue()
        for message in self._pending:
            self._outbox.put(message.request())
        self._call = self._open_call(iter(self._outbox.get, None))
