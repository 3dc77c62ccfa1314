"""Watching: events as they become durable, over as many streams as it takes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import grpc
from extaudit.v1 import event_watch_pb2 as pb

from extaudit_client.calling import Caller
from extaudit_client.diagnosis import explain
from extaudit_client.errors import ConnectionFailed, ExtauditError, from_rpc
from extaudit_client.filters import filter_from
from extaudit_client.patience import SILENCE_SECONDS, Patience
from extaudit_client.retries import Retries
from extaudit_client.rows import EventRow, row_from
from extaudit_client.searches import MissingPart, Query, missing_from, timestamp

_REMEMBERED: Final = 10_000

Told = Callable[[ExtauditError, float], None]
"""Is told why a stream broke, and after how many seconds it is opened again."""


@dataclass(frozen=True, slots=True)
class WatchedEvents:
    """What came, often one row or none, and how far everything was looked at.

    `place` (log id → last sequence that is done with) goes on from here when it is given back. `caught_up`: nothing
    that was acknowledged is left to look at. `missing` can't be given, and is named once.
    """

    rows: tuple[EventRow, ...]
    place: Mapping[str, int]
    caught_up: bool
    missing: tuple[MissingPart, ...]


class WatchProgress:
    """How far a watch is, from one stream to the next."""

    def __init__(
        self, query: Query, after: Mapping[str, int] | None, received_from: datetime | None, retries: Retries
    ) -> None:
        """`after` goes before `received_from`; without both it begins with what is acknowledged from now on.

        Raises:
            ValueError: an emitter kind has no such name, or a time has no zone.
        """
        self._request = pb.WatchEventsRequest(filter=filter_from(query), storage=query.storage)
        if after is not None:
            self._request.after.logs.update(after)
            self._request.after.SetInParent()  # an empty place is one as well
        elif received_from is not None:
            self._request.received_from.CopyFrom(timestamp(received_from))
        self._retries = retries
        self._answered = False
        self._failures = 0
        self._named: set[MissingPart] = set()

    def request(self) -> pb.WatchEventsRequest:
        """What the next stream asks for: what follows all that came."""
        return self._request

    def note(self, response: pb.WatchEventsResponse) -> WatchedEvents:
        """Read an answer, and go on behind it."""
        self._answered, self._failures = True, 0
        self._request.after.CopyFrom(response.place)
        missing = [part for part in map(missing_from, response.missing) if part not in self._named]
        if len(self._named) > _REMEMBERED:
            self._named.clear()
        self._named.update(missing)
        rows = tuple(map(row_from, response.events))
        return WatchedEvents(rows, dict(response.place.logs), response.caught_up, tuple(missing))

    def delay_after(self, error: ExtauditError) -> float:
        """Seconds to wait before the next stream. Once a stream has answered there is no last try.

        Raises:
            ExtauditError: the error, where trying again is no use, or not wished.
        """
        self._failures += 1
        if not self._retries.allow(error, 1 if self._answered else self._failures, answered=self._answered):
            raise error
        return self._retries.delay(self._failures, error.retry_after)


def watch(
    caller: Caller, progress: WatchProgress, told: Told | None, silence: float = SILENCE_SECONDS
) -> Generator[WatchedEvents, None, None]:
    """Give every answer, and open another stream behind the last one whenever one breaks."""
    with caller.errors():
        while True:
            call = caller.stubs.audit_log.WatchEvents(progress.request())
            patience = Patience(call, silence)
            try:
                while True:
                    with patience.waiting():
                        response = next(call)
                    yield progress.note(response)
            except StopIteration:
                error: ExtauditError = ConnectionFailed("the stream of events ended")
            except grpc.RpcError as failure:
                error = patience.failure or from_rpc(failure)
            finally:
                patience.end()
                call.cancel()
            delay = progress.delay_after(error)
            if told is not None:
                told(error if isinstance(error, ConnectionFailed) else explain(error, caller.connection), delay)
            caller.retries.wait(delay)
