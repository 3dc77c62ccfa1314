"""A bucket that is gone for minutes, or slow, while events come in: nothing is lost, and all is delivered after."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import replace

import pytest
from extaudit_client import Client, Query

from server.config import ExternalStorageSection
from tests.crash.bucket import check_stored, in_bucket
from tests.crash.faulty_world import FaultyWorld
from tests.crash.switching_load import TYPE, Emitting, places
from tests.fault_proxy.faults import Late, Refused
from tests.fault_proxy.plan import Where
from tests.polling import until

SECONDS = float(os.environ.get("EXTAUDIT_CRASH_OUTAGE_SECONDS", "0"))
"""How long it is gone at least; `make crash` has ten minutes of it."""
QUICK = ExternalStorageSection(longest_pause_seconds=0.5)
"""So that an alert has its ten failures within seconds."""
IN_THE_BUCKET = tuple(Where(method, r"^/teleport-longterm-") for method in ("GET", "PUT", "HEAD", "POST"))
RAISED, CLEARED = "extaudit.alert.raise", "extaudit.alert.clear"


@pytest.mark.timeout(600 + SECONDS)
def test_while_the_bucket_is_gone_events_wait_and_an_alert_says_so(faulty: FaultyWorld) -> None:
    emitting = Emitting(2, 1.0 if SECONDS else 0.2)
    with faulty.serving(external_storage=ExternalStorageSection() if SECONDS else QUICK) as client:
        before = alert_events(client)
        with emitting.running(client):
            emitting.go_on()
            gone, began = faulty.proxy.plan(Refused("NoSuchBucket", 404), *IN_THE_BUCKET, times=None), time.monotonic()
            until(lambda: alerts(client, faulty.storage), 180)
            state = faulty.state(client)
            assert "(NoSuchBucket)" in state.last_delivery_error
            assert state.pending_events > 0
            check_found_at_once(client, emitting)
            until(lambda: time.monotonic() >= began + SECONDS, SECONDS + 20)
            faulty.proxy.take_back(gone)
            faulty.until_drained(client)
            until(lambda: not alerts(client, faulty.storage), 120)
        faulty.until_delivered(client)
        until(lambda: client.search(Query(types=(TYPE,), storage="all")).complete, 60)
        # The alert is down a moment before its event is there.
        until(lambda: (CLEARED, faulty.storage) in alert_events(client) - before)
        assert alert_events(client) - before == {(RAISED, faulty.storage): 1, (CLEARED, faulty.storage): 1}
        check_stored(in_bucket(faulty.world, faulty.spec), emitting.told, {faulty.storage})
        found = places(client, faulty.storage)
        assert {uid: {place} for uid, place in emitting.told.items()}.items() <= found.items()


@pytest.mark.skipif(not SECONDS, reason="takes minutes: a part of `make crash`")
@pytest.mark.timeout(600)
def test_over_a_way_that_takes_five_seconds_each_time_all_is_delivered(faulty: FaultyWorld) -> None:
    emitting, slow = Emitting(3, 1.0), replace(faulty.world.aws, read_timeout_seconds=30.0)
    with faulty.serving(aws=slow) as client:
        planned = faulty.proxy.plan(Late(5.0), *IN_THE_BUCKET, times=None)
        with emitting.running(client):
            before = faulty.state(client).objects
            until(lambda: faulty.state(client).objects >= before + 6, 200)
            assert not faulty.state(client).last_delivery_error
        faulty.proxy.take_back(planned)
        faulty.until_delivered(client)
        check_stored(in_bucket(faulty.world, faulty.spec), emitting.told, {faulty.storage})


def alerts(client: Client, storage: str) -> list[str]:
    return [each.id for each in client.status().alerts if each.storage == storage and each.id == "event-emit"]


def alert_events(client: Client) -> Counter[tuple[str, str]]:
    """What the service told of alerts of deliveries, and of which storage."""
    rows = client.search_all(Query(types=(RAISED, CLEARED), storage="all"))
    told = [(row.type, json.loads(row.json)) for row in rows]
    return Counter((type_, facts["storage"]) for type_, facts in told if facts["alert"] == "event-emit")


def check_found_at_once(client: Client, emitting: Emitting) -> None:
    """What is acknowledged is found, and the answer says that the bucket can't be looked into."""
    latest = tuple(list(emitting.told)[-20:])
    page = client.search(Query(types=(TYPE,), uids=latest))
    assert Counter(row.uid for row in page.rows) == dict.fromkeys(latest, 1)
    assert not page.complete
