"""kill -9 of the process that emits and of the server, in turn and at random, until everything is compared."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from extaudit_client import Emitter, Query, Retries

from tests.polling import until
from tests.reserved_port import reserved_port
from tests.running_server import RunningServer, environment
from tests.started_process import start

EMITTING = "tests.crash.emitting_process"
ROUNDS = max(4, int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "0")))


class EmittingProcess:
    """Emits into one spool; `returned` are the keys of which `emit` had returned when it was killed."""

    def __init__(self, folder: Path, name: str, seed: int) -> None:
        self._out = folder / f"{name}.keys"
        arguments = [str(folder / "data"), str(folder / "spool"), name, str(seed)]
        with self._out.open("wb") as out, (folder / f"{name}.errors").open("wb") as err:
            self._process = start(arguments, folder, environment(), out=out.fileno(), err=err.fileno(), module=EMITTING)

    def kill(self) -> list[str]:
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait(60)
        text = self._out.read_text()
        return text[: text.rfind("\n") + 1].split()

    def wait_for_some(self) -> None:
        until(lambda: self._process.poll() is not None or self._out.stat().st_size >= 200)
        assert self._process.poll() is None


@pytest.mark.timeout(600)
def test_every_event_that_emit_returned_for_is_in_the_service_exactly_once(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    listen = ["--grpc-listen", f"127.0.0.1:{reserved_port()}"]
    returned: list[str] = []
    server = RunningServer(tmp_path, *listen)
    try:
        server.wait_until_ready()
        for number in range(ROUNDS):
            emitting = EmittingProcess(tmp_path, f"p{number}", seed + number)
            emitting.wait_for_some()
            time.sleep(dice.uniform(0.0, 0.5))  # when it is killed is the dice's choice
            if dice.random() < 0.6:
                server.kill()
                if dice.random() < 0.5:
                    time.sleep(dice.uniform(0.0, 0.5))
                    returned += emitting.kill()
                    server = RunningServer(tmp_path, *listen)
                    server.wait_until_ready()
                    continue
                server = RunningServer(tmp_path, *listen)
                server.wait_until_ready()
                time.sleep(dice.uniform(0.0, 0.3))
            returned += emitting.kill()
        with Emitter(server.connection(), tmp_path / "spool", retries=Retries(first_delay=0.05)) as emitter:
            emitter.flush(60)
            stats = emitter.stats
        assert (stats.refused, stats.lost) == (0, 0)
        with server.client() as client:
            found = Counter(
                json.loads(row.json)["key"] for row in client.search_all(Query(types=("spooled",), page_size=1000))
            )
    finally:
        server.kill()
    assert len(returned) > 100
    missing = sorted(set(returned) - set(found))
    assert missing == [], f"seed {seed}: {len(missing)} of {len(returned)}"
    assert [key for key, count in found.items() if count > 1] == [], f"seed {seed}"


def test_an_outage_holds_the_emitter_back_at_its_bound_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    listen = ["--grpc-listen", f"127.0.0.1:{reserved_port()}"]
    bound, uids, over = 256 * 1024, list[str](), threading.Event()
    server = RunningServer(tmp_path, *listen)
    try:
        options = {"max_bytes": bound, "full_timeout": None, "retries": Retries(first_delay=0.05)}
        with Emitter(server.connection(), tmp_path / "spool", **options) as emitter:  # type: ignore[arg-type]

            def emit() -> None:
                while not over.is_set():
                    uids.append(emitter.emit({"event": "spooled", "padding": "x" * 2_000}))

            emitting = threading.Thread(target=emit)
            emitting.start()
            until(lambda: emitter.stats.sent > 20)
            server.kill()
            # It stands still at its bound: the spool has no room for another event.
            until(lambda: emitter.stats.trouble is not None and emitter.stats.bytes > bound - 3_000)
            assert sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.events")) <= bound
            held_at = len(uids)
            server = RunningServer(tmp_path, *listen)
            server.wait_until_ready()
            until(lambda: len(uids) > held_at + 10)
            over.set()
            emitting.join(60)
            emitter.flush(60)
        with server.client() as client:
            found = [row.uid for row in client.search_all(Query(types=("spooled",), page_size=1000))]
    finally:
        server.kill()
    assert Counter(found) == Counter(uids)
