"""A storage that is gone, diverted by the command while a delivery to it is under way, which then ends well after all.

Over a service, a proxy that holds the delivery, and the sandbox.
"""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from extaudit_client import Client, ExternalAuditStorage, NotFound, PreconditionFailed, Query

from tests.external_world import World, a_faulty_account
from tests.fault_proxy.faults import Meanwhile, Refused
from tests.fault_proxy.plan import Where
from tests.polling import until

SESSION = "5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b17"
GONE = ["gone-0", "gone-1", "gone-2"]
EVERY = Counter(["before", *GONE, "after"])


def event(uid: str) -> bytes:
    return json.dumps({"event": "external", "uid": uid, "time": "2026-11-02T03:04:05.678Z"}).encode()


def found(client: Client, storage: str) -> Counter[str]:
    return Counter(row.uid for row in client.search(Query(types=("external",), storage=storage)).rows)


def told(capfd: pytest.CaptureFixture[str], world: World, *arguments: str) -> str:
    """What a command prints."""
    capfd.readouterr()
    world.command(*arguments)
    return capfd.readouterr().out


@contextmanager
def a_backlog(world: World) -> Iterator[tuple[Client, ExternalAuditStorage]]:
    """A storage that took nothing since it was promoted, and is disabled since; events and an upload wait for it."""
    with world.serving(), world.client() as client:
        draft = world.set_up(client)
        assert client.emit(event("before")).storage == "default"
        storage = client.storages.promote(draft.revision, force=True, reason="a test").storage_id
        assert {client.emit(event(uid)).storage for uid in GONE} == {storage}
        client.recordings.upload(io.BytesIO(b"recorded"), SESSION)
        with pytest.raises(PreconditionFailed, match="disable it, or promote another one") as refused:
            client.storages.divert(storage)
        assert refused.value.reason == "STORAGE_ACTIVE"
        client.storages.disable()
        assert client.emit(event("after")).storage == "default"
        until(lambda: any(each.last_delivery_error for each in client.status().storages))
        yield client, draft


@pytest.mark.timeout(600)
def test_what_is_diverted_is_there_once_though_its_delivery_ends_well_later(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with a_faulty_account(tmp_path) as (world, proxy):
        refused = proxy.plan(Refused("AccessDenied", 403), Where("PUT", "/_batches/"), times=None)
        with a_backlog(world) as (client, draft):
            storage = draft.storage_id
            command = "storage", "divert", "--from", storage, "--to", "default"
            shown = json.loads(told(capfd, world, *command, "--dry-run", "--output", "json"))
            assert (shown["dry_run"], [each["session_id"] for each in shown["uploads"]]) == (True, [SESSION])
            assert shown["events"] >= len(GONE)
            assert found(client, storage) == Counter(GONE), "to look changes nothing"

        serves = threading.Event()

        def divert(_: str) -> None:
            assert serves.wait(60)
            world.command(*command, "--yes", "--reason", "closed")

        held = proxy.plan(Meanwhile(divert), Where("PUT", "/_batches/"))
        proxy.take_back(refused)
        bucket, _, prefix = draft.spec.audit_events_long_term_uri.removeprefix("s3://").partition("/")
        with world.serving(), world.client() as client:
            serves.set()
            proxy.wait_for(held)
            until(lambda: world.objects(bucket, f"{prefix}/_batches/"))
            check(client, storage)
            asked = Query(types=("extaudit.storage.divert",))
            until(lambda: client.search(asked).rows)
            (diverted,) = client.search(asked).rows
            body = json.loads(diverted.json or b"")
            assert (body["storage_id"], body["to"], body["reason"]) == (storage, "default", "closed")
            assert (body["batches"], body["events"]) == (shown["batches"], shown["events"])
            assert body["sequences"] == shown["sequences"]
            assert told(capfd, world, *command, "--yes") == f"nothing waits for {storage}\n"
            with pytest.raises(NotFound):
                client.storages.divert("aws-0000000000000000")
        with world.serving(), world.client() as client:
            check(client, storage)


def check(client: Client, storage: str) -> None:
    """Each event is once where it is now; that the old bucket has some of them says nobody anything."""
    until(lambda: not any(each.pending_events for each in client.status().storages if each.id == storage))
    assert found(client, "all") == found(client, "default") == EVERY
    page = client.search(Query(types=("external",), storage=storage))
    assert (page.rows, {part.storage for part in page.missing}) == ((), {"default"})
    again = client.emit(event("gone-1"))
    assert (again.repeated, again.storage) == (True, "default")
    status = client.status()
    assert status.serving
    assert {each.last_delivery_error for each in status.storages} == {""}
    assert {each.foreign_objects for each in status.storages} == {0}
    exported = [uid for block in client.export(Query(types=("external",))) for uid in block.uids]
    assert Counter(exported) == EVERY
