"""Switches to S3 and back under load, deliveries late now and then: each event is in one storage, and exported once."""

from __future__ import annotations

import pytest
from extaudit_client import Client

from tests.crash.bucket import check_stored, in_bucket, in_folder
from tests.crash.faulty_world import FaultyWorld
from tests.crash.following import Following
from tests.crash.switching_load import Emitting, event, places
from tests.fault_proxy.faults import Refused
from tests.fault_proxy.plan import Planned, Where
from tests.polling import until

SWITCHES = 20
OBJECT = Where("PUT", r"\.parquet$")


@pytest.mark.timeout(600)
def test_each_event_is_where_its_acknowledgement_says_and_exports_that_follow_have_it_once(faulty: FaultyWorld) -> None:
    emitting, following, late = Emitting(1, 0.05), Following(), list[Planned]()
    with faulty.serving() as client, following.running(faulty.world.client()):
        with emitting.running(client):
            for number in range(SWITCHES):
                emitting.go_on()
                there = number % 2 == 1
                if number in (5, 13):  # so that what goes to S3 comes when the other storage has its batches for long
                    late.append(faulty.proxy.plan(Refused("SlowDown", 503), OBJECT, times=2))
                faulty.switch(client, there=there)
                if number % 4 == 0:
                    following.look(client)
        last = client.emit(event("last-1"))
        until(lambda: ("last-1", (last.storage, last.log_id, last.sequence)) in following.streamed)
        deliver_all(client)
        following.look(client)
        assert all(planned.is_over for planned in late)
        found = places(client, "all")
    told = emitting.told
    assert {storage for storage, _, _ in told.values()} == {"default", faulty.storage}
    check_stored(in_bucket(faulty.world, faulty.spec), told, {faulty.storage})
    check_stored(in_folder(faulty.world.data_dir), told, {"default"})
    given = dict.fromkeys(told.items(), 1)
    assert given.items() <= following.streamed.items(), "the stream lacks an event, or has it twice"
    assert given.items() <= following.listed.items(), "the chunks lack an event, or have it twice"
    assert {uid: {place} for uid, place in told.items()}.items() <= found.items()


def deliver_all(client: Client) -> None:
    until(lambda: all(each.pending_events == 0 for each in client.status().storages))
