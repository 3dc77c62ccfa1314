"""Recordings in the customer's account: promoted, uploaded, read, disabled, against the sandbox.

The role, its policy, the bucket and its rules are what the service's own plan and commands make of them.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator

import pytest
from extaudit_client import Client, Recording, SessionQuery

from server import aws_storages
from server.config import ScrubSection
from tests.external_world import World, an_account
from tests.polling import until

MIB = 1024 * 1024
FIRST, SECOND, THIRD = (f"5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b1{number}" for number in range(3))
DATA = bytes(range(256)) * (9 * MIB // 256)
"""Two parts."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with an_account(tmp_path_factory.mktemp("external")) as world:
        yield world


def record(client: Client, data: bytes, session: str) -> Recording:
    """Upload and complete."""
    uploaded = client.recordings.upload(io.BytesIO(data), session)
    digest = hashlib.sha256(data).hexdigest()
    recording, state = client.recordings.complete(uploaded.upload_id, size=len(data), sha256=digest)
    assert state == "completed"
    return recording


def damage(client: Client) -> str:
    """What status says of damage to what is stored."""
    return next((each.description for each in client.status().problems if each.name == "storage_damaged"), "")


def read(client: Client, session: str) -> bytes:
    return b"".join(client.recordings.read(session))


@pytest.mark.timeout(600)
def test_recordings_go_to_the_account_while_it_is_in_force_and_stay_where_they_began(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with world.serving(scrub=ScrubSection(period_seconds=0.3)), world.client() as client:
        draft = world.set_up(client)
        record(client, b"before", FIRST)
        world.command("storage", "test")
        storage = client.storages.promote(draft.revision).storage_id
        assert record(client, DATA, SECOND).storage == storage

        bucket, _, prefix = draft.spec.session_recordings_uri.removeprefix("s3://").partition("/")
        objects = world.objects(bucket)
        name = f"{prefix}/{SECOND}.tar"
        assert objects[name] == DATA
        s3 = world.sandbox.client("s3")
        (version,) = s3.list_object_versions(Bucket=bucket, Prefix=name)["Versions"]
        (custody,) = (json.loads(data) for key, data in objects.items() if f"/_custody/{SECOND}/" in key)
        assert custody["stored"] == {
            "bucket": bucket,
            "key": name,
            "kind": "recording",
            "version_id": version["VersionId"],
        }
        assert custody["sha256"] == hashlib.sha256(DATA).hexdigest()
        assert read(client, SECOND) == DATA
        assert b"".join(client.recordings.read_range(SECOND, 8 * MIB - 3, 6)) == DATA[8 * MIB - 3 : 8 * MIB + 3]
        s3.put_object(Bucket=bucket, Key=name, Body=b"forged")
        assert read(client, SECOND) == DATA, "the oldest version is the recording"
        until(lambda: "1 unlisted" in damage(client))

        suspended = set[str]()
        with monkeypatch.context() as patch:  # a bucket with object lock, as the planned one, can't have them suspended
            loses = aws_storages.loses_versions
            patch.setattr(
                aws_storages, "loses_versions", lambda way: loses(way) or way.place.location.bucket in suspended
            )
            suspended.add(bucket)
            until(lambda: [each.id for each in client.status().alerts] == ["versions-suspended"])
            [alert] = client.status().alerts
            assert (alert.storage, bucket in alert.message) == (storage, True)
            suspended.clear()
            until(lambda: client.status().alerts == ())
        s3.delete_object(Bucket=bucket, Key=name)
        until(lambda: [each.id for each in client.status().alerts] == ["recording-missing"])
        assert read(client, SECOND) == DATA, "a delete marker hides nothing from the service"

        client.storages.disable(reason="enough")
        assert record(client, b"after", THIRD).storage == "default"
        assert [read(client, each) for each in (FIRST, SECOND, THIRD)] == [b"before", DATA, b"after"]
        found = {
            each.session_id: each.recording.storage for each in client.recordings.list(SessionQuery()) if each.recording
        }
        assert found == {FIRST: "default", SECOND: storage, THIRD: "default"}
