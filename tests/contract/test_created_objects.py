"""How objects come to be in stores that can do less than S3, and beside what nobody here can read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from server.storage.aws.clients import ServiceClient
from server.storage.aws.creation import NewObject, create
from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection, Place
from server.storage.aws.store import Store
from server.storage.ports import NameTaken
from server.storage.spec import S3Location
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
