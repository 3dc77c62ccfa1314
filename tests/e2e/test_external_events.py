"""Events in the customer's account: promoted, emitted, delivered, searched, disabled, against the sandbox.

The role, its policy, the bucket and its rules are what the service's own plan and commands make of them.
"""

from __future__ import annotations

import io
import json
import shutil
import socket
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from extaudit_cli.main import run
from extaudit_client import Client, Query
from extaudit_client.files import find_connection

from server.config import AwsSection, HttpSection, JournalSection
from tests.certificates_builder import CaShape
from tests.polling import until
from tests.running_app import running_app
from tests.sandbox.running import Sandbox, running_sandbox

ROLE = "extaudit-events"
OFTEN = JournalSection(cut_age_seconds=0.2)


@dataclass
class World:
    """An account and a service that may keep events in it."""

    sandbox: Sandbox
    http: HttpSection
    issuer: str
    folder: Path

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def serving(self) -> Any:
        """The service, in this process."""
        aws = AwsSection(endpoint=self.sandbox.endpoint, attempts=1)
        return running_app(self.data_dir, issuer_url=self.issuer, aws=aws, journal=OFTEN, http=self.http)

    def client(self) -> Client:
        return Client(find_connection({}, self.data_dir))

    def command(self, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", self.sandbox.admin_access_key)
            patch.setenv("AWS_SECRET_ACCESS_KEY", self.sandbox.admin_secret_key)
            patch.setenv("AWS_ENDPOINT_URL", self.sandbox.endpoint)
            patch.setenv("AWS_CONFIG_FILE", "none")
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
            assert run([*arguments, "--data-dir", str(self.data_dir), "--profile", "none"]) == 0

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Every object of the bucket, by key."""
        s3 = self.sandbox.client("s3")
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in listed}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("external")
    authority = CaShape().make()
    (folder / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.server().write(folder, "public")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    http = HttpSection("127.0.0.1:0", None, None, f"127.0.0.1:{port}", certificate, key)
    with running_sandbox(issuer_ca=folder / "ca.pem") as sandbox:
        yield World(sandbox, http, f"https://localhost:{port}", folder)


def event(uid: str) -> bytes:
    return json.dumps({"event": "external", "uid": uid, "time": "2026-11-02T03:04:05.678Z"}).encode()


def uids(client: Client, storage: str) -> Counter[str]:
    return Counter(row.uid for row in client.search(Query(types=("external",), storage=storage)).rows)


def missing(client: Client, storage: str) -> set[tuple[str, str]]:
    return {(part.reason, part.storage) for part in client.search(Query(types=("external",), storage=storage)).missing}


def delivered(client: Client, storage: str) -> bool:
    """Whether nothing waits for a storage that it has had batches from."""
    (state,) = [each for each in client.status().storages if each.id == storage]
    return state.objects > 0 and state.pending_events == 0


@pytest.mark.timeout(240)
def test_events_go_to_the_account_while_it_is_in_force_and_each_is_found_once(world: World) -> None:
    with world.serving(), world.client() as client:
        client.integrations.create("events", f"arn:aws:iam::{world.sandbox.account_id}:role/{ROLE}")
        world.command("integrations", "aws-setup", "events", "--issuer-ca", str(world.folder / "ca.pem"))
        draft = client.storages.generate("events", "us-west-2")
        world.command("storage", "bootstrap")

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
        client.storages.disable(reason="enough")
        assert client.emit(event("after")).storage == "default"
        everything = {"before": 1, "there-0": 1, "there-1": 1, "there-2": 1, "after": 1}
        assert uids(client, "all") == everything
        assert Counter(uid for block in client.export(Query(types=("external",))) for uid in block.uids) == everything
        assert world.objects(bucket).keys() >= objects.keys(), "disabling touches nothing in AWS"
        location = next(each.location for each in client.status().storages if each.id == storage)
        assert location == draft.spec.audit_events_long_term_uri


@pytest.mark.timeout(240)
def test_a_throttled_delivery_and_a_lost_cache_catalogue_and_object(world: World) -> None:
    """What is away for a while is waited for; what the state lost is read again; what others removed is named."""
    with world.serving(), world.client() as client:
        before = next(each for each in client.storages.promotions() if each.kind == "promote")
        draft = client.storages.create(before.spec)
        storage = client.storages.promote(draft.revision, force=True, reason="again").storage_id
        assert storage == before.storage_id, "the same place is the same storage"
        world.sandbox.fail("s3:PutObject", "SlowDown", status=503, times=2)
        assert client.emit(event("throttled")).storage == storage
        until(lambda: any(each.last_delivery_error for each in client.status().storages))
        assert client.status().serving, "what is far away may be out of reach for a moment"
        assert uids(client, storage)["throttled"] == 1
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
    with world.serving(), world.client() as client:
        parts = client.search(Query(types=("external",), storage=storage)).missing
        assert [(part.reason, f"{prefix}/{part.name}") for part in parts] == [("object_missing", removed)]
