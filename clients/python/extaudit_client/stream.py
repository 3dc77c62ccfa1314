"""A stream of messages with a bounded number of them unacknowledged, that is opened again when it breaks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Protocol

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb

from extaudit_client.emitting import Acknowledgement, Message
from extaudit_client.errors import ExtauditError, from_rpc
from extaudit_client.patience import SILENCE_SECONDS, Patience
from extaudit_client.retries import Retries

_Outbox = SimpleQueue[pb.EmitEventsRequest | None]


class EmitCall(Protocol):
    """A stream under way: its responses."""

    def __next__(self) -> pb.EmitEventsResponse:
        """Wait for the next response."""

    def cancel(self) -> bool:
        """End the stream."""


class Unacknowledged:
    """The messages that were sent and aren't acknowledged, and when a stream of them is opened again.

    What isn't acknowledged when the stream breaks is sent again on a new one; the service answers what it had already
    stored as repeated. A stream that never got an acknowledgement is only tried again when the service said when.
    """

    def __init__(self, window: int, retries: Retries) -> None:
        self.messages: deque[Message] = deque()
        self._window = window
        self._retries = retries
        self._arrived: deque[pb.MessageAcknowledgement] = deque()
        self._failures = 0
        self._answered = False

    @property
    def full(self) -> bool:
        """True when nothing may be sent before something is acknowledged."""
        return len(self.messages) >= self._window

    def note(self, response: pb.EmitEventsResponse) -> Iterator[Acknowledgement]:
        """Give the acknowledgements that a response completes, often none.

        Raises:
            ExtauditError: one isn't of the message that it should be of, or doesn't match it.
        """
        self._arrived.extend(response.messages)
        while self._arrived and self._arrived[0].message_number <= response.durable_through:
            entry = self._arrived.popleft()
            if not self.messages or self.messages[0].number != entry.message_number:
                raise ExtauditError("INTERNAL", "", "the service acknowledged a message out of turn")
            acknowledgement = self.messages[0].acknowledged(entry)
            self._failures, self._answered = 0, True
            self.messages.popleft()
            yield acknowledgement

    def break_off(self, error: ExtauditError) -> float:
        """Seconds to wait before all that isn't acknowledged is sent again.

        Raises:
            ExtauditError: the error, when it isn't worth another try.
        """
        self._failures += 1
        if not self._retries.allow(error, self._failures, answered=self._answered):
            raise error
        self._arrived.clear()
        return self._retries.delay(self._failures, error.retry_after)


def ended_early() -> ExtauditError:
    """What it means that the service ends a stream by itself."""
    return ExtauditError("UNAVAILABLE", "", "the service ended the stream before it had acknowledged all")


class EventStream:
    """Sends messages and gives their acknowledgements in order."""

    def __init__(
        self,
        open_call: Callable[[Iterator[pb.EmitEventsRequest]], EmitCall],
        window: int,
        retries: Retries,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._open_call = open_call
        self._retries = retries
        self._sent = Unacknowledged(window, retries)
        self._outbox: _Outbox = SimpleQueue()
        self._silence = silence
        self._call = open_call(iter(self._outbox.get, None))
        self._patience = Patience(self._call, silence)

    @property
    def full(self) -> bool:
        """True when nothing may be sent before something is acknowledged."""
        return self._sent.full

    @property
    def pending(self) -> bool:
        """True while something isn't acknowledged."""
        return bool(self._sent.messages)

    def send(self, message: Message) -> None:
        """Send a message; it is kept until it is acknowledged."""
        self._sent.messages.append(message)
        self._outbox.put(message.request())

    def receive(self) -> Iterator[Acknowledgement]:
        """Wait for one response and give the acknowledgements it completes, often none.

        Raises:
            ExtauditError: the stream broke and isn't worth another try.
        """
        try:
            with self._patience.waiting():
                response = next(self._call)
        except StopIteration:
            self._reopen(ended_early())
            return
        except grpc.RpcError as error:
            self._reopen(self._patience.failure or from_rpc(error))
            return
        yield from self._sent.note(response)

    def finish(self) -> None:
        """Say that no message follows."""
        self._outbox.put(None)

    def close(self) -> None:
        """End the stream; what isn't acknowledged may or may not be stored."""
        self._outbox.put(None)
        self._patience.end()
        self._call.cancel()

    def _reopen(self, error: ExtauditError) -> None:
        delay = self._sent.break_off(error)
        self.close()
        self._retries.wait(delay)
        self._outbox = SimpleQueue()
        for message in self._sent.messages:
            self._outbox.put(message.request())
        self._call = self._open_call(iter(self._outbox.get, None))
        self._patience = Patience(self._call, self._silence)
