"""How objects come to be in stores that can do less than S3, and beside what nobody here can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.audit_log.search.query import SearchQuery
from server.storage.aws.clients import ServiceClient
from server.storage.aws.creation import NewObject, create
from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection, Place
from server.storage.aws.store import Refusal, Store
from server.storage.ports import NameTaken, StorageError
from server.storage.scan.engine import DuckScanEngine
from server.storage.spec import S3Location
from tests.contract.bucket_rig import BucketRig, in_bucket
from tests.contract.search_rig import event_json
from tests.sandbox.running import Sandbox, running_sandbox

BODY = b"events"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        running.client("s3").create_bucket(
            Bucket="created", CreateBucketConfiguration={"LocationConstraint": running.region}
        )
        yield running


@dataclass
class Rig:
    sandbox: Sandbox
    store: Store
    name: str

    def create(self, data: bytes = BODY) -> None:
        place = Place(S3Location("created", "events"), self.sandbox.account_id, store=self.store)
        way = Connection(lambda: ServiceClient("s3", self.sandbox.client("s3")), place)
        digest = hashlib.sha256(data).hexdigest()
        create(lambda: way, NewObject(self.name, data, digest, "text/plain"))

    def plant(self, data: bytes, **others: Any) -> None:
        self.sandbox.client("s3").put_object(Bucket="created", Key=f"events/{self.name}", Body=data, **others)

    def bytes(self) -> bytes:
        found = self.sandbox.client("s3").get_object(Bucket="created", Key=f"events/{self.name}")["Body"].read()
        assert isinstance(found, bytes)
        return found


STORES = {
    "S3": Store(),
    "no conditional writes": Store(conditional_writes=False),
    "no SHA-256": Store(checksums=False),
    "neither": Store(conditional_writes=False, checksums=False),
}


@pytest.fixture(params=STORES)
def rig(request: pytest.FixtureRequest, sandbox: Sandbox) -> Rig:
    return Rig(sandbox, STORES[request.param], f"of {request.param} in {request.node.name}")


def test_an_object_is_created_once_and_other_bytes_are_never_touched(rig: Rig) -> None:
    sent: list[dict[str, str]] = []

    def note(request: Any, **_: object) -> None:
        if request.method == "PUT":
            sent.append({name.lower(): str(value) for name, value in request.headers.items()})

    events = rig.sandbox.client("s3").meta.events
    events.register("before-sign.s3", note)
    rig.create()
    rig.create()
    events.unregister("before-sign.s3", note)
    with pytest.raises(NameTaken):
        rig.create(b"others")
    assert rig.bytes() == BODY
    assert {"if-none-match" in headers for headers in sent} == {rig.store.conditional_writes}, "else it is refused"
    assert {"x-amz-checksum-sha256" in headers for headers in sent} == {rig.store.checksums}
    assert {"content-md5" in headers for headers in sent} == {not rig.store.checksums}
    assert len(sent) == (2 if rig.store.conditional_writes else 1), "without a condition it is looked for first"


def calls(sandbox: Sandbox) -> list[str]:
    return [call.operation for call in sandbox.calls()]


def test_a_store_of_another_maker_is_looked_at_until_it_was_seen_to_refuse(sandbox: Sandbox) -> None:
    store = Store(refusal=Refusal(is_seen=False))
    rig = Rig(sandbox, store, "first of another maker")
    events = sandbox.client("s3").meta.events

    def then_fail(**_: object) -> None:
        events.unregister("after-call.s3.PutObject", then_fail)
        sandbox.fail("PutObject", "SlowDown", status=503)

    events.register("after-call.s3.PutObject", then_fail)
    twice = ["HeadObject", "PutObject", "PutObject"]
    for name, expected in (("not yet", twice), ("seen", twice), ("later", ["PutObject"])):
        rig.name = f"{name} of another maker"
        sandbox.clear_calls()
        rig.create()
        assert calls(sandbox) == expected
        assert (rig.bytes(), store.refusal.is_seen) == (BODY, name != "not yet")


def test_nothing_is_put_over_anything_in_a_store_that_passes_over_the_condition(sandbox: Sandbox) -> None:
    """Where it was said to know it: deliveries stop, and say which setting it needs. With that all goes well."""
    store = Store(refusal=Refusal(is_seen=False))
    rig, taken, later = (Rig(sandbox, store, f"{name} of a careless store") for name in ("one", "taken", "later"))
    taken.plant(b"theirs")
    later.plant(b"theirs")
    sandbox.pass_over_conditions()
    with pytest.raises(NameTaken):
        taken.create()
    with pytest.raises(StorageError, match="s3_conditional_writes"):
        rig.create()
    sandbox.clear_calls()
    for each in (rig, taken, later):
        with pytest.raises(StorageError, match="s3_conditional_writes"):
            each.create()
    assert calls(sandbox) == []
    for each in (rig, taken, later):
        each.store = Store(conditional_writes=False)
    rig.create()
    for each in (taken, later):
        with pytest.raises(NameTaken):
            each.create()
    assert (rig.bytes(), taken.bytes(), later.bytes()) == (BODY, b"theirs", b"theirs")
    sandbox.clear_faults()


@pytest.mark.parametrize("conditional_writes", [True, False])
def test_a_delivery_to_a_store_that_passes_over_the_condition_writes_over_nothing_and_loses_nothing(
    tmp_path: Path, scan_engine: DuckScanEngine, aws: Sandbox, conditional_writes: bool
) -> None:
    """As it was said to know it, the batch waits in the journal for the setting; else it looks before it writes."""
    prefix, store = tmp_path.name, Store(conditional_writes=conditional_writes, refusal=Refusal(is_seen=False))
    opened, client = in_bucket(aws, prefix, store=store), aws.client("s3")
    rig = BucketRig(tmp_path / "data", scan_engine, open_default=opened, client=client, prefix=prefix)
    aws.pass_over_conditions()
    [kept] = rig.emit(event_json("e"))
    rig.cut()
    name = f"2026-11-18/{kept.receipt.log_id}-1-1.parquet"
    rig.put(name, b"theirs")
    if conditional_writes:
        for _ in range(2):
            with pytest.raises(StorageError, match="s3_conditional_writes"):
                rig.deliver()
        assert [pin.section.first for pin in rig.log.tail.pin()][:1] == [1]
        rig.open_default = in_bucket(aws, prefix, store=Store(conditional_writes=False))
        again = rig.reopened()
        assert isinstance(again, BucketRig)
        rig = again
    rig.deliver()
    assert [each.name for each in rig.taken] == [name]
    assert client.get_object(**rig.key(name))["Body"].read() == b"theirs"
    assert len(rig.versions(name)) == 1
    page = rig.page(SearchQuery())
    assert [row.receipts for row in page.rows] == [(kept.receipt,)]
    aws.clear_faults()
    rig.close()


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidObjectState"])
def test_what_nobody_here_can_read_has_taken_the_name(sandbox: Sandbox, code: str) -> None:
    """Encrypted by a key of somebody else, or archived: whoever writes there could else hold up deliveries for ever."""
    rig = Rig(sandbox, Store(), f"unreadable {code}")
    rig.plant(b"theirs")
    sandbox.fail("HeadObject", "InvalidRequest", status=400, times=2)
    sandbox.fail("GetObject", code, status=403 if code == "InvalidObjectState" else 400)
    with pytest.raises(NameTaken):
        rig.create()
    sandbox.clear_faults()
    assert rig.bytes() == b"theirs"


def test_what_can_not_be_read_for_want_of_a_key_is_told_by_its_metadata(sandbox: Sandbox) -> None:
    """Those are seen without the key; an object that says it is ours is not taken for others', and waited for."""
    rig = Rig(sandbox, Store(), "by metadata")
    rig.plant(BODY)
    sandbox.fail("HeadObject", "AccessDenied", status=403)
    with pytest.raises(NameTaken):
        rig.create()
    rig = Rig(sandbox, Store(), "ours by metadata")
    rig.plant(BODY, Metadata={"sha256": hashlib.sha256(BODY).hexdigest()})
    sandbox.fail("HeadObject", "AccessDenied", status=403)
    with pytest.raises(AwsError):
        rig.create()
    rig.create()
    sandbox.clear_faults()
