"""Watches that last through kill -9, flushes and restarts give every acknowledged event once, under its sequence."""

from __future__ import annotations

import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from extaudit_client import Client, Connection, EventRow, Position, Query, Retries

from tests.crash.load import Load
from tests.polling import until
from tests.reserved_port import reserved_port
from tests.running_server import RunningServer, environment
from tests.started_process import start

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "3"))
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
OFTEN = ["--journal-cut-events", "100", "--journal-cut-age-seconds", "0.1", "--journal-disk-floor-bytes", "1048576"]
END = "the.end"
ENOUGH = 300
"""Events of a round before the kill."""
QUICKLY = Retries(attempts=1000, from_start=True, draw=lambda low, high: min(high, 0.2))


class Watcher(threading.Thread):
    """Collects everything from the first event of all to the one that ends it, over as many streams as it takes."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(daemon=True)
        self._connection = connection
        self.rows: list[EventRow] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with Client(self._connection, retries=QUICKLY) as client:
                for watched in client.watch(after={}):
                    assert not watched.missing
                    self.rows += watched.rows
                    if any(row.type == END for row in watched.rows):
                        return
        except Exception as failure:
            self.failure = failure


class Tail:
    """`extaudit events tail` with a place, run anew whenever it was killed; its lines go to one file."""

    def __init__(self, folder: Path, data_dir: Path, address: str) -> None:
        self._out = folder / "tail.jsonl"
        flags = ["--since", "2020-01-01", "--place", str(folder / "place.json"), "--output", "json"]
        self._folder = folder
        self._arguments = ["events", "tail", *flags, "--data-dir", str(data_dir), "--address", address]

    @contextmanager
    def running(self) -> Iterator[None]:
        with self._out.open("ab") as out, (self._folder / "tail.errors").open("ab") as err:
            process = start(self._arguments, self._folder, environment(), out=out.fileno(), err=err.fileno())
        try:
            yield
        finally:
            process.kill()
            process.wait(60)

    def rows(self) -> list[dict[str, Any]]:
        """What a kill has torn is ended as a line by the next run, which prints that row again."""
        return [row for line in self._out.read_bytes().splitlines() if (row := _row(line)) is not None]


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found


@pytest.mark.timeout(300 + 30 * ROUNDS)
def test_what_was_acknowledged_comes_once_through_kills_and_flushes(tmp_path: Path) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice, loads = random.Random(SEED), list[Load]()
    address = f"127.0.0.1:{reserved_port()}"
    flags = [*OFTEN, "--grpc-listen", address]
    watchers: list[Watcher] = []
    tail = Tail(tmp_path, tmp_path / "data", address)
    for number in range(ROUNDS):
        with RunningServer(tmp_path, *flags).until_killed() as server, server.client() as client, tail.running():
            if number in (0, 2):  # one from the beginning on, one that comes later to what is stored
                watchers.append(Watcher(server.connection()))
                watchers[-1].start()
            loads.append(Load(f"round.{number}", dice))
            with loads[-1].running(client):
                enough = ENOUGH + dice.randrange(ENOUGH)
                until(lambda: loads[-1].progress > enough)  # noqa: B023 -- called at once
                server.kill()
    with RunningServer(tmp_path, *flags).until_killed() as server, server.client() as client, tail.running():
        server.wait_until_ready()
        client.emit(json.dumps({"event": END, "uid": END}).encode())
        for watcher in watchers:
            watcher.join(240)
            assert watcher.failure is None
        until(lambda: any(row["type"] == END for row in tail.rows()))
        until(lambda: client.status().storages[0].objects > ROUNDS)  # flushes, to be killed in
        stored = {load.event_type: _stored(client, load) for load in loads}
        server.stop()
    for watcher in watchers:
        found = [(row.type, json.loads(row.json), _position(row)) for row in watcher.rows]
        _check(loads, stored, found, [position for _, _, position in found])
    lines = [
        (row["type"], row["event"], Position(row["receipts"][0]["log_id"], row["receipts"][0]["sequence"]))
        for row in tail.rows()
    ]
    # A tail that is killed between printing and noting its place prints that part again, and only that.
    _check(loads, stored, list({position: line for line in lines for position in [line[2]]}.values()), [])


def _check(
    loads: list[Load],
    stored: dict[str, dict[str, Position]],
    found: list[tuple[str, dict[str, Any], Position]],
    positions: list[Position],
) -> None:
    assert not [position for position, count in Counter(positions).items() if count > 1], "a sequence came twice"
    for load in loads:
        came = {event["key"]: position for kind, event, position in found if kind == load.event_type}
        assert load.acknowledged.items() <= came.items()
        assert came == stored[load.event_type]


def _stored(client: Client, load: Load) -> dict[str, Position]:
    """Where each event of a load is, by key, as a search finds it: acknowledged or not."""
    return {json.loads(row.json)["key"]: _position(row) for row in client.search_all(Query(types=(load.event_type,)))}


def _position(row: EventRow) -> Position:
    (receipt,) = row.receipts
    return Position(receipt.log_id, receipt.sequence)
