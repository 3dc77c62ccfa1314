"""Stops of the command: what they say, and that they end it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit_cli.exporting.stopping import interruptible

from tests.unit.cli.conftest import Command
from tests.unit.cli.exporting.conftest import ALL
from tests.unit.client.fake_service import FakeService


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_says_how_to_go_on(service: FakeService, extaudit: Command, number: signal.Signals) -> None:
    watch = service.watch

    def stopped(request: watch_pb.WatchEventsRequest) -> Iterator[watch_pb.WatchEventsResponse]:
        yield from watch(request)
        if request.after.logs["log"] < 4:
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            threading.Event().wait(20)

    service.watch = stopped
    done = extaudit("events", "export", "--out", "out/", "--follow")
    assert (done.code, b"stopped; the same command goes on from here" in done.out) == (130, True)
    service.watch = watch
    assert extaudit("events", "export", "--out", "out/").code == 0
    assert b"".join(Path("out", name).read_bytes() for name in sorted(os.listdir("out")) if ".jsonl" in name) == ALL


def test_a_stop_does_not_wait_for_ever_for_a_pipe_that_nobody_reads() -> None:
    stop, never = threading.Event(), threading.Event()

    def blocked() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        never.wait(60)

    with pytest.raises(KeyboardInterrupt):
        interruptible(blocked, stop, lambda: None, 0.0)
    assert stop.is_set()
    never.set()
