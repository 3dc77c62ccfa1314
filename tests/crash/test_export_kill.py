"""An export that follows, killed again and again while events come in and the service is killed and begun anew."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from extaudit_client import Position

from tests.crash.load import Load
from tests.polling import until
from tests.reserved_port import reserved_port
from tests.running_server import RunningServer, environment
from tests.started_process import run_to_end, start

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
OFTEN = ["--journal-cut-events", "100", "--journal-cut-age-seconds", "0.1", "--journal-disk-floor-bytes", "1048576"]
TARGETS = {
    "folder": ["--out", "out/", "--receipts"],
    "file": ["--out", "out.jsonl.gz", "--receipts", "--state", "state.json"],
}
SHORTEST_LIFE, LONGEST_LIFE = 0.2, 1.5
ENOUGH = 400
"""Events of a round before the kill."""


LONG = pytest.mark.skipif("EXTAUDIT_CRASH_ROUNDS" not in os.environ, reason="takes a minute: make crash runs it")


@pytest.mark.parametrize("target", ["folder", pytest.param("file", marks=LONG)])
@pytest.mark.timeout(600 + 20 * ROUNDS)
def test_every_acknowledged_event_is_exported_once(tmp_path: Path, target: str) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    flags = [*OFTEN, "--grpc-listen", f"127.0.0.1:{reserved_port()}"]  # where a following export finds it again
    feed = _Feed(tmp_path, ["events", "export", *TARGETS[target], "--parallel", "3"], dice.getrandbits(32))
    acknowledged: dict[Position, bytes] = {}
    with ExitStack() as last:
        with feed.running():
            for number in range(ROUNDS):
                with RunningServer(tmp_path, *flags).until_killed() as server, server.client() as client:
                    load = Load(f"round.{number}", dice)
                    with load.running(client):
                        enough = ENOUGH + dice.randrange(ENOUGH)
                        until(lambda: load.progress > enough)  # noqa: B023 -- called at once
                        server.kill()
                events = load.events
                acknowledged |= {at: events[key] for key, at in load.acknowledged.items()}
            last.enter_context(RunningServer(tmp_path, *flags).until_killed()).wait_until_ready()
            until(lambda: any(feed.killed_at), 120)  # on its way, and not before it had begun
        feed.finish()
    found = dict(_exported(tmp_path / "out" if target == "folder" else tmp_path / "out.jsonl.gz"))
    assert not {at for at, event in acknowledged.items() if not found.get(at, b"").startswith(event[:-1])}
    state = feed.state()
    assert sum(state["place"].values()) == len(found) == state["events"], "all of every log, and nothing twice"
    assert len(acknowledged) > 100 * ROUNDS, "there was hardly any load"


class _Feed:
    """An export that follows, and lives for a short while each time."""

    def __init__(self, folder: Path, arguments: list[str], seed: int) -> None:
        self._folder = folder
        self._arguments = arguments
        self._dice = random.Random(seed)
        self._over = threading.Event()
        self.killed_at: set[int] = set()
        """How many events it had exported whenever it was killed."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Killed and begun anew all through the block."""
        with ThreadPoolExecutor(1) as thread:
            lives = thread.submit(self._live)
            try:
                yield
            finally:
                self._over.set()
        lives.result()

    def finish(self) -> None:
        """Export what is left."""
        done = run_to_end(self._arguments, self._folder, environment())
        assert done.returncode == 0, done.stderr

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = {"events": 0}
        for path in (self._folder / "out/export-state.json", self._folder / "state.json"):
            if path.exists():
                found = json.loads(path.read_bytes())
        return found

    def _live(self) -> None:
        longest = LONGEST_LIFE
        while not self._over.is_set():
            with (self._folder / "export.errors").open("ab") as out:
                process = start([*self._arguments, "--follow"], self._folder, environment(), out=out.fileno())
            with suppress(TimeoutError, subprocess.TimeoutExpired):  # one that finds no service ends by itself
                process.wait(self._dice.uniform(SHORTEST_LIFE, longest))  # the random moment
            process.kill()
            process.wait(60)
            self.killed_at.add(self.state()["events"])
            longest = LONGEST_LIFE if any(self.killed_at) else 1.5 * longest  # on a slow machine one comes to nothing


def _exported(target: Path) -> Iterator[tuple[Position, bytes]]:
    """Where each exported event is, and its JSON as it was written; none of them twice."""
    seen: set[Position] = set()
    for path in sorted(target.glob("*.jsonl")) if target.is_dir() else [target]:
        data = path.read_bytes()
        for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
            receipt = json.loads(line)["receipt"]
            at = Position(receipt["log_id"], receipt["sequence"])
            assert at not in seen
            seen.add(at)
            event = line.removeprefix(b'{"event":')
            yield at, event[: event.rindex(b',"receipt":')]
