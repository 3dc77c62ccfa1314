"""Switches under load, with kills and stops between: each event is where its acknowledgement says, and only there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from extaudit_client import Client, ExtauditError, Query

from tests.crash.switching_server import OTHERS
from tests.polling import until
from tests.running_server import RunningServer, environment

SWITCHES = 20
LIVES = 4
WRITERS = 3
Place = tuple[str, str, int]
"""Storage, log and sequence."""


class SwitchingServer(RunningServer):
    """A server that is told on its stdin where new events go."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._log = folder / "serve.log"
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.switching_server", str(self.data_dir)],
                env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True,
            )  # fmt: skip

    def switch(self, storage: str) -> None:
        """Switch; returns once it is made."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{storage}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == f"{storage}\n", self.said

    def kill(self) -> None:
        """End it with kill -9, and let go of its pipes."""
        super().kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def stop(self) -> None:
        """End it in an orderly way."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self.wait() == 0, self.said


class Emitting:
    """Writers that emit until the service ends, and what they were told."""

    def __init__(self, life: int) -> None:
        self.told: dict[str, Place] = {}
        """By uid."""
        self._life = life

    def emit(self, client: Client, writer: int) -> None:
        dice, number = random.Random(writer), 0
        try:
            while True:
                uids = [f"{self._life}.{writer}.{number + index}" for index in range(dice.randint(1, 40))]
                number += len(uids)
                for answer in client.emit_stream([event(uid) for uid in uids], batch_size=len(uids)):
                    (span,) = answer.sequences
                    for uid, sequence in zip(uids, range(span[0], span[1] + 1), strict=True):
                        self.told[uid] = (answer.storage, answer.log_id, sequence)
        except ExtauditError as error:
            if error.code not in ("UNAVAILABLE", "CANCELLED"):
                raise

    @contextmanager
    def running(self, client: Client) -> Iterator[None]:
        """Emit through the block, which ends the service."""
        with ThreadPoolExecutor(WRITERS) as threads:
            running = [threads.submit(self.emit, client, writer) for writer in range(WRITERS)]
            yield
        for writer in running:
            writer.result()

    def go_on(self) -> None:
        """Let some more be acknowledged."""
        enough = len(self.told) + 20
        until(lambda: len(self.told) > enough)

    def emit_again(self, client: Client) -> None:
        """A retry names the storage, log and sequence of the first acknowledgement."""
        uids = list(self.told)
        answers = client.emit_stream([event(uid) for uid in uids], batch_size=500)
        again = {item.index: (item.storage, item.log_id, item.sequence) for a in answers for item in a.repeated}
        assert {uids[index]: place for index, place in again.items()} == self.told


def event(uid: str) -> bytes:
    return json.dumps({"event": "switched", "uid": uid, "time": "2026-11-01T00:00:00Z"}).encode()


def places(client: Client, storage: str) -> dict[str, set[Place]]:
    """Where a search of a storage finds each event."""
    found: dict[str, set[Place]] = {}
    for row in client.search_all(Query(types=("switched",), storage=storage, page_size=1000)):
        found[row.uid] = {(receipt.storage, receipt.log_id, receipt.sequence) for receipt in row.receipts}
    return found


@pytest.mark.timeout(180)
def test_after_switches_and_kills_each_event_is_in_the_storage_that_its_acknowledgement_names(tmp_path: Path) -> None:
    dice, told = random.Random(7), dict[str, Place]()
    emitting = Emitting(0)
    for life in range(1, LIVES + 1):
        with SwitchingServer(tmp_path).until_killed() as server, server.client() as client:
            emitting.emit_again(client)
            emitting = Emitting(life)
            with emitting.running(client):
                for _ in range(SWITCHES // LIVES):
                    emitting.go_on()
                    server.switch(dice.choice(["default", *OTHERS]))
                if life % 2:
                    server.stop()
                else:
                    server.kill()
            told |= emitting.told
    assert {storage for storage, _, _ in told.values()} == {"default", *OTHERS}
    with SwitchingServer(tmp_path).until_killed() as server, server.client() as client:
        emitting.emit_again(client)
        for storage in ("default", *OTHERS):
            found = places(client, storage)
            expected = {uid: {place} for uid, place in told.items() if place[0] == storage}
            assert expected.items() <= found.items()
            assert not found.keys() & (told.keys() - expected.keys()), "an event is in two storages"
        everywhere = places(client, "all")
        assert {uid: {place} for uid, place in told.items()}.items() <= everywhere.items()
        exported = Counter(uid for block in client.export(Query(types=("switched",))) for uid in block.uids)
        assert exported == dict.fromkeys(everywhere, 1), "an export follows the switches"
        states = {state.id: state for state in client.status().storages}
        assert all(states[storage].objects for storage in ("default", *OTHERS)), "there were hardly any deliveries"
        server.stop()
