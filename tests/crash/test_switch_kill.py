"""Switches under load, with kills and stops between: each event is where its acknowledgement says, and only there."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path

import pytest
from extaudit_client import Query

from tests.crash.switching_load import Emitting, Place, places
from tests.crash.switching_server import OTHERS
from tests.polling import until
from tests.running_server import RunningServer, environment
from tests.started_process import start

SWITCHES = 20
LIVES = 4


class SwitchingServer(RunningServer):
    """A server that is told on its stdin where new events go."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._log = folder / "serve.log"
        given, told = os.pipe(), os.pipe()
        with self._log.open("ab") as err:
            self._process = start(
                [str(self.data_dir)], folder, environment(), out=told[1], err=err.fileno(), given=given[0],
                module="tests.crash.switching_server",
            )  # fmt: skip
        os.close(given[0])
        os.close(told[1])
        self._told, self._asking = os.fdopen(told[0]), os.fdopen(given[1], "w")

    def switch(self, storage: str) -> None:
        """Switch; returns once it is made."""
        print(storage, file=self._asking, flush=True)
        assert self._told.readline() == f"{storage}\n", self.said

    def kill(self) -> None:
        """End it with kill -9, and let go of its pipes."""
        super().kill()
        for pipe in (self._told, self._asking):
            pipe.close()

    def stop(self) -> None:
        """End it in an orderly way."""
        self._asking.close()
        assert self.wait() == 0, self.said


@pytest.mark.timeout(600)
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
        until(lambda: all(state.objects for state in client.status().storages))  # deliveries, to be killed in
        server.stop()
