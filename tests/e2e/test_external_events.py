"""Events in the customer's account: promoted, emitted, delivered, searched, disabled, against the sandbox.

The role, its policy, the bucket and its rules are what the service's own plan and commands make of them.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pyarrow.parquet as pq
import pytest
from extaudit_client import Client, PreconditionFailed, Query
from extaudit_client.statuses import AlertSeverity

from server.app import App
from server.certificates.issuing import issue_user
from server.service_events import ALERT_CLEARED, ALERT_RAISED
from tests.e2e.every_own_event import client_of
from tests.external_world import World, an_account
from tests.polling import until

ALWAYS = 1_000_000
"""Requests that fail: until faults are cleared."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with an_account(tmp_path_factory.mktemp("external")) as world:
        yield world


def event(uid: str, kind: str = "external", date: str = "2026-11-02") -> bytes:
    return json.dumps({"event": kind, "uid": uid, "time": f"{date}T03:04:05.678Z"}).encode()


def uids(client: Client, storage: str) -> Counter[str]:
    return Counter(row.uid for row in client.search(Query(types=("external",), storage=storage)).rows)


def told(client: Client, kind: str) -> list[dict[str, Any]]:
    """What the service's own events of a type say."""
    return [json.loads(row.json) for row in client.search(Query(types=(kind,), storage="all")).rows]


def metrics(app: App) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{app.http_port}/metrics", timeout=60) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def missing(client: Client, storage: str) -> set[tuple[str, str]]:
    return {(part.reason, part.storage) for part in client.search(Query(types=("external",), storage=storage)).missing}


def delivered(client: Client, storage: str) -> bool:
    """Whether nothing waits for a storage that it has had batches from."""
    (state,) = [each for each in client.status().storages if each.id == storage]
    return state.objects > 0 and state.pending_events == 0


@pytest.mark.timeout(600)
def test_events_go_to_the_account_while_it_is_in_force_and_each_is_found_once(world: World) -> None:
    with world.serving(), world.client() as client:
        draft = world.set_up(client)

        assert client.emit(event("before")).storage == "default"
        world.command("storage", "test")
        storage = client.storages.promote(draft.revision).storage_id
        there = [client.emit(event(f"there-{number}")) for number in range(3)]
        assert {each.storage for each in there} == {storage}
        again = client.emit(event("before"))
        assert (again.repeated, again.storage) == (True, "default"), "a retry gets the first acknowledgement"
        assert uids(client, "active") == {"there-0": 1, "there-1": 1, "there-2": 1}
        assert missing(client, "active") == {("other_storage", "default")}
        assert missing(client, "all") == set()
        until(lambda: delivered(client, storage))

        bucket, _, prefix = draft.spec.audit_events_long_term_uri.removeprefix("s3://").partition("/")
        objects = world.objects(bucket)
        names = [key for key in objects if key.startswith(f"{prefix}/2026-11-02/{there[0].log_id}-")]
        tables = [pq.read_table(io.BytesIO(objects[name])) for name in names]
        assert set(tables[0].column_names) == {"event_type", "event_time", "uid", "session_id", "user", "event_data"}
        found = Counter(uid for table in tables for uid in table["uid"].to_pylist())
        assert found == {"there-0": 1, "there-1": 1, "there-2": 1}, "whoever reads the bucket sees just these"
        assert [key for key in objects if key.startswith(f"{prefix}/_batches/{there[0].log_id}/")]

        world.sandbox.clear_calls()
        assert uids(client, storage) == {"there-0": 1, "there-1": 1, "there-2": 1}
        assert "s3:GetObject" not in {call.action for call in world.sandbox.calls() if "_batches" not in str(call)}
        asked = client.search(Query(types=("external",), storage=storage, engine="athena"))
        assert Counter(row.uid for row in asked.rows) == {"there-0": 1, "there-1": 1, "there-2": 1}
        assert {row.json for row in asked.rows} == {event(f"there-{number}") for number in range(3)}
        assert (asked.engine, asked.complete, asked.cost.athena_queries) == ("athena", True, 1)
        assert asked.cost.athena_bytes > 0, "what AWS bills is told"
        with pytest.raises(PreconditionFailed, match="can't read storage default"):
            client.search(Query(storage="all", engine="athena"))
        client.storages.disable(reason="enough")
        assert client.emit(event("after")).storage == "default"
        everything = {"before": 1, "there-0": 1, "there-1": 1, "there-2": 1, "after": 1}
        assert uids(client, "all") == everything
        assert Counter(uid for block in client.export(Query(types=("external",))) for uid in block.uids) == everything
        assert world.objects(bucket).keys() >= objects.keys(), "disabling touches nothing in AWS"
        for kind in ("external_audit_storage.enable", "external_audit_storage.disable"):
            until(lambda kind=kind: len(told(client, kind)) == 2)
            rows = {each: client.search(Query(types=(kind,), storage=each)).rows for each in ("default", storage)}
            (here,), (away,) = rows.values()
            assert here.uid != away.uid, "each storage has its own, where its events end or begin"
            assert json.loads(here.json)["storage_id"] == json.loads(away.json)["storage_id"]
        location = next(each.location for each in client.status().storages if each.id == storage)
        assert location == draft.spec.audit_events_long_term_uri


@pytest.mark.timeout(600)
def test_deliveries_that_fail_raise_an_alert_everywhere_once_until_they_go_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.audit_log.deliveries._FIRST_PAUSE", 0.001)
    issue_user(world.data_dir, "auditor", ["auditor"], 1, world.folder / "auditor")
    with world.serving() as app, world.client() as client:
        draft = client.storages.create(next(iter(client.storages.promotions())).spec)
        storage = client.storages.promote(draft.revision, force=True, reason="again").storage_id
        world.sandbox.fail("s3:PutObject", "AccessDenied", status=403, times=ALWAYS)
        client.emit(event("refused", "refused", "2026-11-03"))
        until(lambda: client.status().alerts)
        world.sandbox.clear_faults()
        status = client.status()
        (alert,) = status.alerts
        assert (alert.id, alert.storage, alert.severity) == ("event-emit", storage, AlertSeverity.HIGH)
        assert alert.message.startswith("elevated error rate delivering events: s3:PutObject: ")
        (state,) = [each for each in status.storages if each.id == storage]
        assert state.last_failure_time is not None
        assert alert.message.endswith(state.last_failure)
        with client_of(world.data_dir, world.folder / "auditor", "auditor") as auditor:
            less = auditor.status()
        assert [each.message for each in less.alerts] == ["elevated error rate delivering events"]
        assert not any("s3:" in each.last_failure for each in less.storages)
        shown = metrics(app)
        assert shown[f'extaudit_alert{{alert="event-emit",storage="{storage}"}}'] == 1
        assert shown[f'extaudit_alert{{alert="event-search",storage="{storage}"}}'] == 0
        assert status.serving, "an alert alone takes the service out of nothing"

        def quiet() -> bool:
            client.emit(event(str(uuid.uuid4()), "refused", "2026-11-03"))
            return not client.status().alerts

        until(quiet)
        assert metrics(app)[f'extaudit_alert{{alert="event-emit",storage="{storage}"}}'] == 0
        until(lambda: told(client, ALERT_CLEARED))
        (raised,), (cleared,) = told(client, ALERT_RAISED), told(client, ALERT_CLEARED)
        assert (raised["alert"], raised["storage"], raised["error"]) == ("event-emit", storage, state.last_failure)
        assert (cleared["alert"], cleared["storage"]) == ("event-emit", storage)
        client.storages.disable(reason="enough")


@pytest.mark.timeout(600)
def test_a_throttled_delivery_and_a_lost_cache_catalogue_and_object(world: World) -> None:
    """What is away for a while is waited for; what the state lost is read again; what others removed is named."""
    with world.serving(), world.client() as client:
        before = next(each for each in client.storages.promotions() if each.kind == "promote")
        draft = client.storages.create(before.spec)
        storage = client.storages.promote(draft.revision, force=True, reason="again").storage_id
        assert storage == before.storage_id, "the same place is the same storage"
        world.sandbox.fail("s3:PutObject", "SlowDown", status=503, times=ALWAYS)
        assert client.emit(event("throttled")).storage == storage
        until(lambda: any(each.last_delivery_error for each in client.status().storages))
        assert client.status().serving, "what is far away may be out of reach for a moment"
        assert uids(client, storage)["throttled"] == 1
        world.sandbox.clear_faults()
        until(lambda: delivered(client, storage))
    expected = {"there-0": 1, "there-1": 1, "there-2": 1, "throttled": 1}
    shutil.rmtree(world.data_dir / "cache")
    with closing(sqlite3.connect(world.data_dir / "state.db")) as state, state:
        state.execute("DELETE FROM catalogue_batches WHERE storage = ?", (storage,))
        state.execute("DELETE FROM catalogue_objects WHERE storage = ?", (storage,))
    with world.serving(), world.client() as client:
        until(lambda: uids(client, storage) == expected)
        world.sandbox.clear_calls()
        assert uids(client, storage) == expected
        read = [call.resource for call in world.sandbox.calls() if call.action == "s3:GetObject"]
        # Events of the service itself are delivered meanwhile, which looks for their batch's record first.
        assert not [each for each in read if "/_batches/" not in each], "they are here by now"
        assert client.search(Query(storage="all")).missing == (), "what the state lost is not taken for lost"
    shutil.rmtree(world.data_dir / "cache")
    bucket, _, prefix = before.spec.audit_events_long_term_uri.removeprefix("s3://").partition("/")
    removed = next(key for key in world.objects(bucket) if key.startswith(f"{prefix}/2026-11-02/"))
    world.sandbox.client("s3").delete_object(Bucket=bucket, Key=removed)
    with closing(sqlite3.connect(world.data_dir / "state.db")) as state, state:
        # As a kill between the transaction that disables and the journal's marker leaves it.
        state.execute("DELETE FROM external_storages WHERE stage = 'cluster'")
    with world.serving(), world.client() as client:
        assert client.emit(event("made-good")).storage == "default"
        parts = client.search(Query(types=("external",), storage=storage)).missing
        assert [(part.reason, f"{prefix}/{part.name}") for part in parts] == [("object_missing", removed)]
