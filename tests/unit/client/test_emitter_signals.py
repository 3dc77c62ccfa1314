"""Signal handlers that raise, emit or close in the middle of what an emitter does on the main thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from extaudit_client import Connection, Emitter, SpoolFull

from tests.polling import until
from tests.unit.client.spool.spools import in_use, spool
from tests.unit.client.stored_events import FAST, Stored


class SoftLimit(Exception):
    """What a worker's time limit raises wherever the main thread is."""


def reach_limit() -> None:
    raise SoftLimit


@contextmanager
def handler(handle: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, lambda number, frame: handle())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def send() -> None:
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGUSR1)


def signal_within_write_of(marked: bytes, patch: pytest.MonkeyPatch) -> None:
    """The signal comes while the kernel writes the events that hold `marked`."""
    plain = os.write

    def write(fd: int, data: bytes) -> int:
        written = plain(fd, data)
        if marked in bytes(data):
            send()
        return written

    patch.setattr(os, "write", write)


def test_what_a_handler_raises_within_a_write_costs_no_other_event(
    emitter: Emitter, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal_within_write_of(b"interrupted", monkeypatch)
    uids = [emitter.emit({"event": "before"})]
    with handler(reach_limit), pytest.raises(SoftLimit):
        emitter.emit({"event": "interrupted"})
    uids += [emitter.emit({"event": "after", "n": n}) for n in range(3)]
    emitter.flush(60)
    assert [uid for uid in stored.events if uid in uids] == uids
    assert emitter.stats.lost == 0


def test_a_handler_may_emit_within_a_write(emitter: Emitter, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    uids: list[str] = []
    signal_within_write_of(b"interrupted", monkeypatch)
    with handler(lambda: uids.append(emitter.emit({"event": "stopping"}))):
        uids.append(emitter.emit({"event": "interrupted"}))
    uids.append(emitter.emit({"event": "after"}))
    emitter.flush(60)
    assert len(uids) == 3
    assert sorted(stored.events) == sorted(uids)


def test_who_waits_for_room_for_nobody_any_more_gives_up(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    with pytest.raises(SpoolFull, match="no room"):
        while True:
            opened.append([b"x" * 50_000], 0)
    with pytest.raises(SpoolFull, match="nobody"):
        opened.append([b"x" * 50_000], None, lambda: True)
    opened.close()


def test_a_close_that_a_handler_ends_closes_all_the_same(
    connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Connection("127.0.0.1:1", connection.ca, connection.cert, connection.key)
    emitter = Emitter(nowhere, tmp_path, retries=FAST)
    emitter.emit({"event": "e"})
    plain = Emitter._flush

    def interrupted(given: Emitter, timeout: float | None, given_up: Callable[[], bool]) -> None:
        send()
        until(given_up)
        plain(given, timeout, given_up)

    monkeypatch.setattr(Emitter, "_flush", interrupted)
    with handler(reach_limit), pytest.raises(SoftLimit):
        emitter.close(timeout=3600)
    until(lambda: not in_use(tmp_path))
    assert emitter.stats.queued == 1
