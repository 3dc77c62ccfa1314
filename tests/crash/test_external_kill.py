"""kill -9 while events and recordings go to S3 and back, and the way there fails: each is in one place, once."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from extaudit_client import Client, ExtauditError, NotFound, Query, SessionQuery, StorageSpec

from tests.crash.bucket import check_stored, in_bucket, in_folder
from tests.crash.switching_load import TYPE, Emitting, Place
from tests.crash.uploading import ENDS, Uploading, read
from tests.external_world import World, a_faulty_account
from tests.fault_proxy.faults import CutRequest, LostAnswer, Refused
from tests.fault_proxy.plan import Where
from tests.polling import until, until_given
from tests.running_server import RunningServer

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "4"))
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
WRITES = (Where("PUT", "."), Where("POST", "."))
FAULTS = (
    Refused("SlowDown", 503),
    Refused("InternalError", 500, done=True),
    Refused("RequestTimeout", 400),
    Refused("ConditionalRequestConflict", 409),
    CutRequest(after=50),
    LostAnswer(),
)
OFTEN = ["--journal-cut-events", "150", "--journal-cut-age-seconds", "0.3", "--journal-disk-floor-bytes", "1048576"]
LONGEST_START = 2.5
"""Seconds within which a start is killed: about what one takes."""
LONGEST_DRAIN = 120.0
"""Seconds within which what the last life left is delivered, with the pauses that its failures had come to."""


def server_in(world: World) -> RunningServer:
    return RunningServer(world.folder, *OFTEN, *world.flags())


def switch(world: World, spec: StorageSpec, client: Client) -> None:
    """Have new events go elsewhere."""
    (active,) = (each.id for each in client.status().storages if each.active)
    with suppress(NotFound):
        client.storages.delete_draft()  # that a switch before has left
    world.switch(client, spec, there=active == "default")


def emitted_elsewhere(world: World, spec: StorageSpec, client: Client, life: int) -> dict[str, Place]:
    """Switch and emit: on a slow machine kills may have come before there was much in one of the storages."""
    switch(world, spec, client)
    emitting = Emitting(life)
    with emitting.running(client):
        emitting.go_on()
        emitting.go_on()
        emitting.go_on()
    return emitting.told


def switch_on_and_on(world: World, spec: StorageSpec, client: Client, dice: random.Random) -> None:
    """Have new events go elsewhere now and then, until the server is gone."""
    try:
        while True:
            switch(world, spec, client)
            time.sleep(dice.uniform(0, 0.5))
    except ExtauditError as error:
        assert error.code in ENDS, error  # noqa: PT017 -- any other one is a fault


@pytest.mark.timeout(600 + 20 * ROUNDS)
def test_after_kills_all_is_once_where_its_acknowledgement_says(tmp_path: Path) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice, told = random.Random(SEED), dict[str, Place]()
    emitting, uploading = Emitting(0), Uploading(dice.getrandbits(32))
    with a_faulty_account(tmp_path) as (world, proxy), ThreadPoolExecutor(2) as threads:
        with server_in(world).until_killed() as server, server.client() as client:
            spec = world.set_up(client).spec
            server.stop()
        for life in range(1, ROUNDS + 1):
            if life % 5 == 0:
                with server_in(world).until_killed():
                    time.sleep(dice.uniform(0, LONGEST_START))
            with server_in(world).until_killed() as server, server.client() as client:
                emitting.emit_again(client)
                uploading.check_durable(client)
                emitting = Emitting(life, 0.01)
                with emitting.running(client):
                    others = [
                        threads.submit(switch_on_and_on, world, spec, client, random.Random(dice.getrandbits(32))),
                        threads.submit(uploading.go_on, client),
                    ]
                    proxy.plan(dice.choice(FAULTS), *WRITES, first=dice.randint(1, 8), times=2)
                    emitting.go_on()
                    time.sleep(dice.uniform(0, 2))  # the random moment
                    server.kill()
                    for each in others:
                        each.result()
                told |= emitting.told
        proxy.take_all_back()
        with server_in(world).until_killed() as server, server.client() as client:
            emitting.emit_again(client)
            for number in (1, 2):
                told |= emitted_elsewhere(world, spec, client, ROUNDS + number)
            until(lambda: uploading.end_this(client) and len(uploading.completed) >= ROUNDS // 2, LONGEST_DRAIN)
            until(lambda: all(each.pending_events == 0 for each in client.status().storages), LONGEST_DRAIN)
            check_events(world, spec, client, told)
            check_recordings(world, spec, client, uploading)
            server.stop()


def check_events(world: World, spec: StorageSpec, client: Client, told: dict[str, Place]) -> None:
    everything = until_given(lambda: found_everywhere(client))
    assert told.keys() <= everything.keys()
    assert set(everything.values()) == {1}
    check_stored(in_bucket(world, spec), told, {storage for storage, _, _ in told.values()} - {"default"})
    check_stored(in_folder(world.data_dir), told, {"default"})


def found_everywhere(client: Client) -> Counter[str] | None:
    """Every event's uid; None where an answer says that it lacks some now, as where S3 is slow to answer."""
    found = Counter[str]()
    for page in client.search_pages(Query(types=(TYPE,), storage="all")):
        found.update(row.uid for row in page.rows)
        if page.missing:
            return None
    return found


def check_recordings(world: World, spec: StorageSpec, client: Client, uploading: Uploading) -> None:
    """Each is once in the storage that it is said to be in, and read as it was sent."""
    bucket, _, prefix = spec.session_recordings_uri.removeprefix("s3://").partition("/")
    objects = world.objects(bucket, f"{prefix}/")
    versions = Counter(
        item["Key"]
        for page in world.sandbox.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
        for item in page.get("Versions", ())
    )
    places = {
        each.session_id: each.recording.storage for each in client.recordings.list(SessionQuery()) if each.recording
    }
    for upload in uploading.completed:
        session, name = upload.session_id, f"{prefix}/{upload.session_id}.tar"
        assert until_given(lambda session=session: read(client, session)) == upload.data
        custodies = [key for key in objects if f"/_custody/{session}/" in key]
        in_s3 = places[session] != "default"
        assert (versions[name], len(custodies)) == ((1, 1) if in_s3 else (0, 0))
        assert not in_s3 or objects[name] == upload.data
    assert len(uploading.completed) >= ROUNDS // 2, "there were hardly any uploads"
