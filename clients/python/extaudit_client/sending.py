"""What is in a spool goes to the service, in order, over streams that stay open while there is something to send."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb

from extaudit_client import event_calls
from extaudit_client.calling import Caller
from extaudit_client.emitting import STREAM_EVENT_BYTES, Acknowledgement, Message
from extaudit_client.errors import ExtauditError, ServiceFault, from_rpc
from extaudit_client.pace import Pace
from extaudit_client.patience import Patience
from extaudit_client.retries import Retries
from extaudit_client.spool.frames import Entry
from extaudit_client.spool.reading import Batch, Reader
from extaudit_client.stream import Unacknowledged, ended_early

_IDLE_SECONDS: Final = 10.0
"""A stream with nothing to send is ended after so long."""
FAULTS: Final = 5
"""An event over which the service failed so often, and took a later one each time, is set aside."""
_FAULTY_IN_A_ROW: Final = 100
"""Where it fails over so many that follow each other, it is taken to fail over all."""
_BOUNDED_BYTES: Final = 64 * 1024
"""No gateway on the way to the service has a bound on messages that a smaller event exceeds."""


class Outcome(Protocol):
    """Who is told what became of events, in order."""

    def acknowledged(self, batch: Batch, answer: Acknowledgement | None) -> None:
        """A batch was answered, None where it held nothing but what is lost; it may be settled when this returns."""


class Faults:
    """How often the service failed over which event while it took a later one; kept from one stream to the next."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def count(self, entries: Sequence[Entry]) -> Mapping[int, int]:
        """Count one more for each of the next events; gives how many there are by the events' numbers."""
        self._counts = {entry.number: self._counts.get(entry.number, 0) + 1 for entry in entries}
        return self._counts


class Sending:
    """One stream over which a spool is sent, from what isn't settled on."""

    def __init__(
        self,
        caller: Caller,
        reader: Reader,
        pace: Pace,
        outcome: Outcome,
        more: Callable[[int, float], bool],
        faults: Faults,
    ) -> None:
        self._caller = caller
        self._reader = reader
        self._pace = pace
        self._outcome = outcome
        self._faults = faults
        self._more = more
        """Waits so many seconds for events beyond a number; gives False when none came, or none shall be sent."""
        self._patience: Patience | None = None
        self._changed = threading.Condition()
        self._over = False
        self._unacknowledged = Unacknowledged(pace.window, Retries(attempts=0))
        self._batches: deque[Batch] = deque()
        self._large: Batch | None = None
        self._broken: Exception | None = None

    def run(self) -> None:
        """Send until there is nothing more for a while.

        Raises:
            ExtauditError: the stream broke. OSError: the spool can't be read, or an outcome not be noted.
        """
        call = self._caller.stubs.audit_log.EmitEvents(self._requests())
        patience = Patience(call, self._pace.seconds)
        with self._changed:
            self._patience = patience
            self._wait_or_not()
        try:
            for response in call:
                for answer in self._unacknowledged.note(response):
                    self._pace.answered(patience.waited)
                    self._outcome.acknowledged(self._batches[0], answer)
                    with self._changed:
                        self._batches.popleft()
                        self._changed.notify_all()
                with self._changed:
                    self._wait_or_not()
        except grpc.RpcError as error:
            self._pace.broken_off(patience.waited)
            raise self._broken or patience.failure or from_rpc(error) from None
        finally:
            patience.end()
            with self._changed:
                self._over = True
                self._changed.notify_all()
            call.cancel()
        if self._broken is not None:
            raise self._broken
        if self._unacknowledged.messages:
            raise ended_early()
        if self._large is not None:
            self._alone(self._large)

    def _wait_or_not(self) -> None:
        """An answer is due from now on while something is unacknowledged; called with the lock held."""
        if self._patience is not None:
            if self._unacknowledged.messages:
                self._patience.begin()
            else:
                self._patience.pause()

    def one_by_one(self) -> None:
        """Send the next events each by a call of its own, so that one which breaks a stream is found and set aside.

        Raises:
            ExtauditError: a call failed for what isn't the event's fault, or isn't known to be. OSError: as `run`.
        """
        batch = self._reader.read(self._pace.batch, self._pace.message_bytes)
        following = self._reader.read(1, 1)  # so that there is one to compare with, however large the first is
        batch.entries += following.entries
        batch.lost += following.lost
        batch.through = following.through
        self._alone(batch)

    def _alone(self, batch: Batch) -> None:
        done = batch.entries[0].number - 1 if batch.entries else batch.through
        if batch.lost:
            self._outcome.acknowledged(Batch(done, [], batch.lost), None)
        faulty: list[tuple[Entry, ExtauditError]] = []
        passed_over = False
        for index, entry in enumerate(batch.entries):
            message = Message(1, 0, (entry.event,))
            try:
                answer = message.emitted(self._caller.run(event_calls.emit(entry.event)))
            except ExtauditError as error:
                if error.code == "DEADLINE_EXCEEDED":
                    self._pace.broken_off(self._pace.seconds)
                if _may_be_its_fault(entry, error):
                    # It is, if the service takes one behind it.
                    if not passed_over:
                        faulty.append((entry, error))
                    if len(faulty) == _FAULTY_IN_A_ROW:
                        break
                    continue
                answer = message.refused(error)
                if faulty:
                    passed_over = True  # its turn comes when those before it are settled
                    continue
            if faulty:
                self._set_aside(faulty)
                return  # what was taken is sent again in its turn, and answered as repeated
            through = batch.through if index == len(batch.entries) - 1 else entry.number
            self._outcome.acknowledged(Batch(through, [entry]), answer)
        if faulty:
            raise faulty[0][1]

    def _set_aside(self, faulty: list[tuple[Entry, ExtauditError]]) -> None:
        """Set events aside over which the service failed often enough, though it takes others.

        Raises:
            ExtauditError: it hasn't failed so often over one of them.
        """
        counts = self._faults.count([entry for entry, _ in faulty])
        for entry, error in faulty:
            count = counts[entry.number]
            if count < FAULTS:
                raise error
            answer = Message(1, 0, (entry.event,)).faulted(error, count)
            self._outcome.acknowledged(Batch(entry.number, [entry]), answer)

    def _requests(self) -> Iterator[pb.EmitEventsRequest]:
        """What gRPC sends, on a thread of its own."""
        try:
            number = index = 0
            while (batch := self._next_batch()) is not None:
                if not batch.entries:
                    self._outcome.acknowledged(batch, None)
                    continue
                number += 1
                message = Message(number, index, tuple(entry.event for entry in batch.entries))
                index += len(batch.entries)
                with self._changed:
                    self._batches.append(batch)
                    self._unacknowledged.messages.append(message)
                    if len(self._batches) == 1:
                        self._wait_or_not()
                yield message.request()
        except Exception as error:  # whatever it is, the stream must be told
            # gRPC would only say that the requests failed.
            self._broken = error
            raise

    def _next_batch(self) -> Batch | None:
        """The next events, waited for; None to end the stream."""
        while not self._over:
            if not self._has_room():
                continue
            batch = self._reader.read(self._pace.batch, self._pace.message_bytes)
            if batch.entries and _is_large(batch.entries[0]):
                self._large = batch
                return None
            if batch.entries:
                return batch
            if batch.lost:
                return batch if self._all_acknowledged() else None
            if not self._more(batch.through, _IDLE_SECONDS):
                return None
        return None

    def _has_room(self) -> bool:
        with self._changed:
            if not self._over and self._is_full():
                self._changed.wait()
            return not self._is_full()

    def _is_full(self) -> bool:
        return len(self._unacknowledged.messages) >= self._pace.window

    def _all_acknowledged(self) -> bool:
        with self._changed:
            while self._batches and not self._over:
                self._changed.wait()
            return not self._over


def _is_large(entry: Entry) -> bool:
    return len(entry.event) > STREAM_EVENT_BYTES


def _may_be_its_fault(entry: Entry, error: ExtauditError) -> bool:
    """Whether a call failed for what is in its event, or for how large it is, or else for what hits all events."""
    unnamed = error.code == "RESOURCE_EXHAUSTED" and not error.reason and error.retry_after is None
    return isinstance(error, ServiceFault) or (unnamed and len(entry.event) > _BOUNDED_BYTES and not _is_large(entry))
