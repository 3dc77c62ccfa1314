"""The rig of searches with its default storage in a bucket that keeps versions; others write there through a folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rbac.identities import Identity
from server.audit_log.search.query import SearchPage, SearchQuery
from server.audit_log.search.search import Search
from server.storage.aws.clients import ServiceClient
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.ports import EventStorage
from server.storage.spec import S3Location
from tests.contract.search_rig import CALLER, SearchRig
from tests.sandbox.running import Sandbox

BUCKET = "kept-versions"


def versioned_bucket(sandbox: Sandbox, name: str = BUCKET) -> None:
    """Make a bucket that keeps versions."""
    client = sandbox.client("s3")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": sandbox.region})
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})


def in_bucket(sandbox: Sandbox, prefix: str, bucket: str = BUCKET, **place: Any) -> Callable[[Path], EventStorage]:
    """Opens the storage below a prefix of the bucket; each with a cache that has nothing."""
    client = sandbox.client("s3")
    where = Place(S3Location(bucket, prefix), sandbox.account_id, **place)
    caches = 0

    def opened(folder: Path) -> EventStorage:
        nonlocal caches
        caches += 1
        cache = ObjectCache(folder.parent / f"cache-{caches}", 1 << 30, 4)
        return S3EventStorage("default", lambda: Connection(lambda: ServiceClient("s3", client), where), cache)

    return opened


@dataclass
class BucketRig(SearchRig):
    """What is in the folder of events is put into the bucket before each search, and what went from it deleted."""

    client: Any = None
    prefix: str = ""
    name: str = BUCKET
    mirrored: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def page(self, query: SearchQuery, *, by: Identity = CALLER, search: Search | None = None) -> SearchPage:
        self.mirror()
        return super().page(query, by=by, search=search)

    def mirror(self) -> None:
        """Bring the bucket to what others did in the folder."""
        there = {}
        for path in sorted(self.events_folder.rglob("*")):
            if path.is_file():
                state = path.stat()
                there[os.path.relpath(path, self.events_folder)] = (state.st_ino, state.st_size, state.st_mtime_ns)
        for name in self.mirrored.keys() - there.keys():
            self.delete(name)
        for name in there.keys() - {each for each in there if there[each] == self.mirrored.get(each)}:
            self.put(name, (self.events_folder / name).read_bytes())
        self.mirrored = there

    def put(self, name: str, data: bytes) -> None:
        """As others do."""
        self.client.put_object(**self.key(name), Body=data)

    def delete(self, name: str, version: str = "") -> None:
        """As others do: by a mark, or for good."""
        self.client.delete_object(**self.key(name), **({"VersionId": version} if version else {}))

    def archive(self, name: str) -> None:
        """As a lifecycle rule does: the version that is there has another storage class."""
        [version] = self.versions(name)
        key = self.key(name)
        self.client.copy_object(**key, CopySource=key, StorageClass="GLACIER")
        self.delete(name, version)

    def restore(self, name: str) -> None:
        """As the bucket's owner does."""
        self.client.restore_object(**self.key(name), RestoreRequest={"Days": 1})

    def versions(self, name: str) -> list[str]:
        """The ids of an object's versions and marks, the newest first."""
        found = self.client.list_object_versions(Bucket=self.name, Prefix=self.key(name)["Key"])
        listed = [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]
        return [str(each["VersionId"]) for each in sorted(listed, key=lambda each: not each["IsLatest"])]

    def key(self, name: str) -> dict[str, str]:
        """Where an object is, for a client."""
        return {"Bucket": self.name, "Key": f"{self.prefix}/{name}"}
