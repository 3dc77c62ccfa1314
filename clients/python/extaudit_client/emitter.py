"""The emitter: takes events at once, keeps them in a local spool, and sends them until they are acknowledged."""

from __future__ import annotations

import atexit
import contextlib
import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from extaudit_client.connection import Connection
from extaudit_client.emitter_state import EmitterState, EmitterStats, Trouble, log_left
from extaudit_client.emitter_thread import EmitterThread
from extaudit_client.emitting import check_sizes
from extaudit_client.errors import InvalidRequest, Violation
from extaudit_client.event_uid import prepared
from extaudit_client.pace import Pace
from extaudit_client.retries import Retries
from extaudit_client.spool.dead_letters import DeadLetters, RefusedEvent
from extaudit_client.spool.errors import SpoolClosed
from extaudit_client.spool.files import DiskFiles
from extaudit_client.spool.folder_lock import FolderLock
from extaudit_client.spool.reading import Reader
from extaudit_client.spool.spool import Spool
from extaudit_client.undisturbed import GivenUp, undisturbed

MAX_BYTES: Final = 256 * 1024 * 1024
FULL_TIMEOUT: Final = 30.0
_LOOK_SECONDS: Final = 1.0
"""How often whoever waits looks whether it is still wanted."""
Event = Mapping[str, Any] | bytes
Durability = Literal["fsync", "os"]


class Emitter:
    """Sends events in the background; safe to use from several threads. Close it, or use it in `with`.

    What `emit` returned for is in files of `spool_dir` and is sent until the service has acknowledged it as durable,
    by this process or the next one that opens an emitter there, each event once. Events that the service refuses go to
    `refused.jsonl` there, are counted, logged and told to `on_refused`, and hold up nothing. While nothing can be sent,
    that is logged and told to `on_trouble`, and tried again for ever. Both are called on the thread that sends, which
    goes on when they return: they may emit, and must not flush or close.

    `durability`: with "fsync" an event survives a loss of power, with "os" only the process. `max_bytes` bounds the
    spool; when it is full, `emit` waits up to `full_timeout` seconds for room (None: for ever; 0: not at all) and then
    raises SpoolFull. `batch_size` is how many events a message has at most, up to 1,000.

    What a signal handler raises within `emit`, such as KeyboardInterrupt, leaves its events taken or not, and harms no
    others. A handler may emit, and close, itself.

    Raises:
        SpoolInUse: another emitter has the folder. OSError: it can't be read or written.
        ValueError: `batch_size` is out of its range.
    """

    def __init__(
        self,
        connection: Connection,
        spool_dir: Path | str,
        *,
        durability: Durability = "fsync",
        max_bytes: int = MAX_BYTES,
        full_timeout: float | None = FULL_TIMEOUT,
        batch_size: int = 500,
        on_refused: Callable[[RefusedEvent], None] | None = None,
        on_trouble: Callable[[Trouble], None] | None = None,
        retries: Retries | None = None,
    ) -> None:
        folder, files, pace = Path(spool_dir), DiskFiles(), Pace(batch_size)
        check_sizes(batch_size, pace.window)
        files.make_folder(folder)
        self._lock = FolderLock(folder)
        try:
            self._spool = Spool(files, folder, max_bytes=max_bytes, durably=durability == "fsync")
        except BaseException:
            self._lock.release()
            raise
        self._files = files
        self._full_timeout = full_timeout
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._state = EmitterState(self._spool, DeadLetters(files, folder), on_refused, on_trouble)
        self._thread = EmitterThread(connection, files, self._spool, self._state, pace, retries or Retries())
        self._thread.start()
        atexit.register(self.close, timeout=0)

    def __enter__(self) -> Emitter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def emit(self, event: Event) -> str:
        """Take an event; gives its uid once it is in the spool. JSON given as bytes is kept byte for byte.

        uid and time are set where they are missing, so that however often it is sent, it is one event of that time.

        Raises:
            InvalidRequest: it is no JSON object with a member `event`, or its uid is none.
            SpoolFull, SpoolFailed, SpoolClosed: it isn't taken.
        """
        return self.emit_many((event,))[0]

    def emit_many(self, events: Iterable[Event]) -> list[str]:
        """Take events, all or none, with one sync for all; gives their uids. They must fit into the spool together."""
        return self.take([prepared(as_json(event)) for event in events])

    def take(self, events: list[tuple[str, bytes]], waited: float = 0.0) -> list[str]:
        """Take events that are prepared, with their uids; they have `waited` so many seconds for room already."""
        self._check_process()
        timeout = None if self._full_timeout is None else max(self._full_timeout - waited, 0.0)
        if events:
            data = [event for _, event in events]
            undisturbed(lambda given_up: self._spool.append(data, timeout, given_up))
        return [uid for uid, _ in events]

    def flush(self, timeout: float | None = None) -> None:
        """Return once everything emitted before is acknowledged or refused.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
            SpoolClosed: the emitter was closed before they were, or this is a forked process.
        """
        self._check_process()
        undisturbed(lambda given_up: self._flush(timeout, given_up))

    def close(self, timeout: float = 5.0) -> int:
        """Send what is left for up to `timeout` seconds; gives how many events stay for the next emitter.

        Where some do that is logged, as the end of a `with` block tells nobody.
        """
        if os.getpid() != self._process:
            return 0  # and without waiting for a lock that a thread of the other process may have held at the fork
        left = undisturbed(lambda given_up: self.close_until(timeout, given_up))
        log_left(left)
        return left

    def close_until(self, timeout: float, given_up: GivenUp) -> int:
        """As `close`, and sends what is left for no longer than until it is given up.

        It logs nothing: whoever waits for it on another thread may hold a lock of logging, as when handlers are closed.
        """
        with self._closing:
            if self._spool.closed:
                return 0
            atexit.unregister(self.close)
            with contextlib.suppress(TimeoutError):
                self._flush(timeout, given_up)
            self._thread.stop()
            self._spool.close()
            left = self._spool.fill().queued  # with what others wrote until then
            self._lock.release()
            return left

    def _flush(self, timeout: float | None, given_up: GivenUp) -> None:
        end = math.inf if timeout is None else time.monotonic() + timeout
        with self._spool.changed:
            wanted = self._spool.committed
            while self._spool.settled < wanted:
                if self._spool.closed:
                    raise SpoolClosed(f"{wanted - self._spool.settled} events stay for the next emitter of the spool")
                left = end - time.monotonic()
                if left <= 0 or given_up():
                    raise TimeoutError(f"{wanted - self._spool.settled} events aren't acknowledged yet")
                self._spool.changed.wait(min(left, _LOOK_SECONDS))

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise SpoolClosed("the emitter belongs to the process that made it, and not to one forked from it")

    @property
    def stats(self) -> EmitterStats:
        """How it is now."""
        return undisturbed(lambda _: self._counted())

    def _counted(self) -> EmitterStats:
        fill = self._spool.fill()
        age = 0.0
        if fill.queued and not self._spool.closed:
            oldest = Reader(self._files, self._spool).read(1, 1).entries
            age = max(time.time() - oldest[0].time_ms / 1000, 0.0) if oldest else 0.0
        return replace(
            self._state.stats, queued=fill.queued, bytes=fill.bytes, cut_bytes=fill.cut_bytes, oldest_age=age
        )


def as_json(event: Event) -> bytes:
    """An event's JSON.

    Raises:
        InvalidRequest: it can't be written as JSON.
    """
    if isinstance(event, bytes):
        return event
    try:
        return json.dumps(event, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        wrong = Violation("json", f"can't be written as JSON: {error}")
        raise InvalidRequest("INVALID_ARGUMENT", "INVALID_REQUEST", "the event is wrong", (wrong,)) from None
