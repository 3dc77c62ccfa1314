"""kill -9 under load, again and again on one data directory, while batches are cut and delivered all the time."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from extaudit_client import Client, Position, Query

from tests.crash.load import Load
from tests.polling import until
from tests.running_server import RunningServer, running_server

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "6"))
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
# Some batches of each load are full and some merely old, and most have a file for each of several dates.
OFTEN = ["--journal-cut-events", "100", "--journal-cut-age-seconds", "0.1", "--journal-disk-floor-bytes", "1048576"]
LEAST, MOST = 120, 400
"""Events of a round before the kill."""
LONGEST_START = 2.5
"""Seconds within which a start is killed: about what one takes."""


@pytest.mark.timeout(300 + 12 * ROUNDS)
def test_after_each_kill_what_was_acknowledged_is_there_once(tmp_path: Path) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    loads: list[Load] = []
    for number in range(ROUNDS):
        if number % 5 == 4:
            _kill_at_start(tmp_path, dice)
        with RunningServer(tmp_path, *OFTEN).until_killed() as server, server.client() as client:
            if loads:
                _check_after_kill(client, loads[-1], dice)
            loads.append(Load(f"round.{number}", dice))
            with loads[-1].running(client):
                enough = dice.randrange(LEAST, MOST)  # the random moment
                until(lambda: loads[-1].progress > enough)  # noqa: B023 -- called at once
                server.kill()
    _check_at_the_end(tmp_path, loads, dice)


def _kill_at_start(folder: Path, dice: random.Random) -> None:
    with RunningServer(folder, *OFTEN).until_killed():
        time.sleep(dice.uniform(0, LONGEST_START))


def _check_after_kill(client: Client, load: Load, dice: random.Random) -> None:
    found = _found(client, load, dice)
    assert load.acknowledged.items() <= found.items()
    load.found(found)
    load.send_again(client)


def _check_at_the_end(folder: Path, loads: list[Load], dice: random.Random) -> None:
    with running_server(folder, *OFTEN) as server, server.client() as client:
        _check_after_kill(client, loads[-1], dice)
        for load in loads:
            assert _found(client, load, dice) == load.acknowledged
        until(lambda: client.status().storages[0].objects > ROUNDS)  # deliveries, to be killed in
        status = client.status()
    assert status.problems == ()
    assert sum(len(load.acknowledged) for load in loads) > 100 * ROUNDS, "there was hardly any load"


def _found(client: Client, load: Load, dice: random.Random) -> dict[str, Position]:
    """Where each event of a load is, by key: whole, in one row with one receipt."""
    found, events = dict[str, Position](), load.events
    for row in client.search_all(Query(types=(load.event_type,), page_size=dice.randint(400, 1000))):
        key = json.loads(row.json)["key"]
        assert key not in found
        assert row.json == events[key] if row.uid == key else row.json.startswith(events[key][:-1])
        (receipt,) = row.receipts
        found[key] = Position(receipt.log_id, receipt.sequence)
    return found
