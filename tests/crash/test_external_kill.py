"""kill -9 under load while events go to S3 and back, and S3 fails now and then: each is in one place, once."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from extaudit_client import Query

from tests.crash.bucket import check_stored, in_bucket
from tests.crash.switching_load import TYPE, Emitting, Place
from tests.external_world import World, an_account
from tests.polling import until
from tests.running_server import RunningServer

ROUNDS = 4
FAULTS = [("SlowDown", 503), ("InternalError", 500), ("RequestTimeout", 400), ("ConditionalRequestConflict", 409)]
OFTEN = ["--journal-cut-events", "150", "--journal-cut-age-seconds", "0.3", "--journal-disk-floor-bytes", "1048576"]


def server_in(world: World) -> RunningServer:
    return RunningServer(world.folder, *OFTEN, *world.flags())


@pytest.mark.timeout(240)
def test_after_kills_each_event_is_once_where_its_acknowledgement_says(tmp_path: Path) -> None:
    dice, told = random.Random(11), dict[str, Place]()
    with an_account(tmp_path) as world:
        with server_in(world).until_killed() as server, server.client() as client:
            spec = world.set_up(client).spec
            client.storages.delete_draft()
            server.stop()
        emitting, there = Emitting(0), False
        for life in range(1, ROUNDS + 1):
            with server_in(world).until_killed() as server, server.client() as client:
                emitting.emit_again(client)
                emitting = Emitting(life)
                with emitting.running(client):
                    emitting.go_on()
                    there = not there
                    world.switch(client, spec, there=there)
                    code, status = dice.choice(FAULTS)
                    world.sandbox.fail("s3:PutObject", code, status=status, times=2)
                    emitting.go_on()
                    time.sleep(dice.uniform(0, 0.8))  # the random moment
                    server.kill()
                told |= emitting.told
        world.sandbox.clear_faults()
        with server_in(world).until_killed() as server, server.client() as client:
            emitting.emit_again(client)
            until(lambda: all(each.pending_events == 0 for each in client.status().storages if each.id != "default"))
            everything = Counter(row.uid for row in client.search_all(Query(types=(TYPE,), storage="all")))
            assert told.keys() <= everything.keys()
            assert set(everything.values()) == {1}
            check_stored(in_bucket(world, spec), told, {storage for storage, _, _ in told.values()} - {"default"})
            server.stop()
