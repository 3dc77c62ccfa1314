"""What every storage of events keeps to: the embedded one, and one in the sandbox's S3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.files import DiskFiles
from server.storage.aws import event_storage
from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import (
    EventStorage,
    NameTaken,
    ObjectChanged,
    ObjectMissing,
    StorageError,
    StorageTimeout,
    Wanted,
)
from server.storage.spec import S3Location
from tests.sandbox.running import Sandbox, running_sandbox

NAME = "2026-11-18/0123456789abcdef0123-1-2.parquet"
RECORD = "0123456789abcdef0123/1-2.json"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@dataclass
class Rig:
    """A storage, and how others change what is in it."""

    storage: EventStorage
    folder: Path
    change: Callable[[str, bytes | None], object]
    """Has an object have other bytes, or none."""

    def spooled(self, data: bytes = b"events") -> tuple[str, str, int]:
        """A spooled file, its digest and its size."""
        path = self.folder / "spooled" / hashlib.sha256(data).hexdigest()
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        return str(path), path.name, len(data)

    def put(self, name: str, data: bytes = b"events") -> None:
        self.storage.put(name, *self.spooled(data))

    def read(self, name: str, data: bytes = b"events") -> bytes | StorageError:
        """What an engine reads of an object that was put with these bytes."""
        with self.storage.local([Wanted(name, hashlib.sha256(data).hexdigest(), len(data))]) as found:
            path = found[name]
            return path if isinstance(path, StorageError) else Path(path).read_bytes()


def s3_rig(sandbox: Sandbox, folder: Path, *, most_bytes: int = 1 << 20, **place: str) -> Rig:
    client = sandbox.client("s3")
    bucket = f"events-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": sandbox.region})
    where = Place(S3Location(bucket, "audit/events"), **{"account_id": sandbox.account_id} | place)
    cache = ObjectCache(folder / "cache", most_bytes, 4)
    storage = S3EventStorage("aws-1", lambda: Connection(lambda: ServiceClient("s3", client), where), cache)

    def change(name: str, data: bytes | None) -> None:
        key = f"audit/events/{name}"
        if data is None:
            client.delete_object(Bucket=bucket, Key=key)
        else:
            client.put_object(Bucket=bucket, Key=key, Body=data)

    return Rig(storage, folder, change)


@pytest.fixture(params=["embedded", "s3"])
def rig(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Rig:
    if request.param == "s3":
        return s3_rig(sandbox, tmp_path)
    storage = EmbeddedStorage(DiskFiles(), tmp_path / "events")

    def change(name: str, data: bytes | None) -> None:
        path = Path(storage.local_path(name))
        path.unlink(missing_ok=True)
        if data is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    return Rig(storage, tmp_path, change)


def test_what_is_put_is_there_and_putting_it_again_changes_nothing(rig: Rig) -> None:
    assert (rig.storage.size(NAME), rig.storage.dates(), rig.storage.list_date("2026-11-18")) == (None, [], [])
    rig.put(NAME)
    rig.put(NAME)
    assert rig.read(NAME) == b"events"
    assert (rig.storage.size(NAME), rig.storage.dates()) == (6, ["2026-11-18"])
    assert [(item.name, item.size) for item in rig.storage.list_date("2026-11-18")] == [(NAME, 6)]


def test_other_bytes_under_a_name_are_never_touched(rig: Rig) -> None:
    rig.change(NAME, b"of others")
    with pytest.raises(NameTaken):
        rig.put(NAME)
    assert rig.storage.size(NAME) == len(b"of others")


def test_a_record_is_kept_once_and_listed(rig: Rig) -> None:
    assert (rig.storage.read_record(RECORD), list(rig.storage.list_records())) == (None, [])
    rig.storage.put_record(RECORD, b"{}")
    rig.storage.put_record(RECORD, b"{}")
    with pytest.raises(NameTaken):
        rig.storage.put_record(RECORD, b'{"other": 1}')
    assert (rig.storage.read_record(RECORD), list(rig.storage.list_records())) == (b"{}", [RECORD])
    assert rig.storage.dates() == [], "records are in no date"


# --- what is said of S3 alone


@pytest.fixture
def s3(sandbox: Sandbox, tmp_path: Path) -> Iterator[Rig]:
    sandbox.clear_faults()
    yield s3_rig(sandbox, tmp_path)
    sandbox.clear_faults()


def fresh(rig: Rig, most_bytes: int = 1 << 20, folder: str = "another-cache") -> Rig:
    """The same storage with a cache that has nothing."""
    old: Any = rig.storage
    cache = ObjectCache(rig.folder / folder, most_bytes, 4)
    return Rig(S3EventStorage("aws-1", old._connect, cache), rig.folder, rig.change)


def test_what_is_put_has_its_digest_and_the_key_of_the_options(sandbox: Sandbox, tmp_path: Path) -> None:
    key = sandbox.client("kms").create_key()["KeyMetadata"]["Arn"]
    rig = s3_rig(sandbox, tmp_path, kms_key_arn=key)
    rig.put(NAME)
    bucket = rig.storage.location().removeprefix("s3://").partition("/")[0]
    head = sandbox.client("s3").head_object(Bucket=bucket, Key=f"audit/events/{NAME}", ChecksumMode="ENABLED")
    digest = hashlib.sha256(b"events").hexdigest()
    assert head["Metadata"] == {"sha256": digest}
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_every_request_names_the_owner_and_every_put_its_condition_and_digest(s3: Rig) -> None:
    sent: list[tuple[str, dict[str, str]]] = []
    old: Any = s3.storage
    client = old._connect().s3._client

    def note(request: Any, **_: object) -> None:
        sent.append((request.method, {name.lower(): str(value) for name, value in request.headers.items()}))

    client.meta.events.register("before-sign.s3", note)
    s3.put(NAME)
    s3.storage.put_record(RECORD, b"{}")
    s3.storage.size(NAME)
    s3.storage.read_record(RECORD)
    list(s3.storage.list_records())
    fresh(s3).read(NAME)
    assert [method for method, _ in sent] == ["PUT", "PUT", "HEAD", "GET", "GET", "GET"]
    assert {headers.get("x-amz-expected-bucket-owner") for _, headers in sent} == {"123456789012"}
    for data, headers in zip((b"events", b"{}"), (headers for method, headers in sent if method == "PUT"), strict=True):
        digest = hashlib.sha256(data)
        assert headers["if-none-match"] == "*"
        assert headers["x-amz-sdk-checksum-algorithm"] == "SHA256", "a bucket with a retention of its own asks for it"
        assert headers["x-amz-checksum-sha256"] == base64.b64encode(digest.digest()).decode()
        assert headers["x-amz-meta-sha256"] == digest.hexdigest()


@pytest.mark.parametrize(("code", "status"), [("ConditionalRequestConflict", 409), ("PreconditionFailed", 412)])
def test_a_conflict_is_looked_at_and_tried_again(sandbox: Sandbox, s3: Rig, code: str, status: int) -> None:
    """Nothing is there, so the next attempt creates it; the same bytes are there, so nothing is left to do."""
    sandbox.fail("s3:PutObject", code, status=status)
    s3.put(NAME)
    assert s3.storage.size(NAME) == 6
    sandbox.fail("s3:PutObject", code, status=status)
    s3.put(NAME)


def test_what_others_say_of_their_object_in_its_metadata_is_not_believed(s3: Rig) -> None:
    """Where S3 compared no SHA-256 the bytes are read."""
    old: Any = s3.storage
    way, digest = old._connect(), hashlib.sha256(b"events").hexdigest()
    said = {**way.place.at(NAME), "Metadata": {"sha256": digest}}
    way.s3.put_object(**said, Body=b"forged")
    with pytest.raises(NameTaken):
        s3.put(NAME)
    way.s3.put_object(**said, Body=b"events")
    s3.put(NAME)


def test_a_record_that_is_asked_for_by_its_digest_is_fetched_once_and_one_that_was_put_is_here(
    sandbox: Sandbox, s3: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"{}").hexdigest()
    assert s3.storage.read_record(RECORD, digest) is None
    s3.storage.put_record(RECORD, b"{}")
    again = fresh(s3)
    for rig, gets in ((s3, []), (again, ["GetObject"]), (again, [])):
        sandbox.clear_calls()
        assert rig.storage.read_record(RECORD, digest) == b"{}"
        assert [call.operation for call in sandbox.calls()] == gets
    s3.change(f"_batches/{RECORD}", b"other")
    assert again.storage.read_record(RECORD) == b"other"
    last = fresh(s3, folder="the last")
    for asked in (["GetObject", "ListObjectVersions"], ["GetObject"]):  # versions aren't looked through each time
        sandbox.clear_calls()
        with pytest.raises(ObjectChanged):
            last.storage.read_record(RECORD, digest)
        assert [call.operation for call in sandbox.calls()] == asked
    monkeypatch.setattr(event_storage, "VAIN_SECONDS", 0.0)
    sandbox.clear_calls()
    with pytest.raises(ObjectChanged):
        last.storage.read_record(RECORD, digest)
    assert len(sandbox.calls()) == 2


def test_a_record_that_is_larger_than_one_can_be_is_not_read_into_memory(
    s3: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_storage, "MOST_RECORD_BYTES", 10)
    s3.change(f"_batches/{RECORD}", b"x" * 11)
    with pytest.raises(StorageError, match="larger than one can be"):
        s3.storage.read_record(RECORD)


def test_what_was_put_in_parts_is_listed_as_that(s3: Rig) -> None:
    """Its time is that of its begin, which tells nothing of when its bytes came."""
    s3.put(NAME)
    [ours] = s3.storage.list_date(NAME[:10])
    storage: Any = s3.storage
    way = storage._connect()
    at = way.place.at(NAME)
    upload = {**at, "UploadId": way.s3.create_multipart_upload(**at)["UploadId"]}
    etag = way.s3.upload_part(**upload, PartNumber=1, Body=b"theirs")["ETag"]
    way.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    [theirs] = s3.storage.list_date(NAME[:10])
    assert (ours.is_of_parts, theirs.is_of_parts) == (False, True)


def test_an_answer_that_was_lost_on_its_way_is_found_out(s3: Rig) -> None:
    """The object is there, and nobody was told: the next attempt is refused, looks, and finds its own bytes."""
    old: Any = s3.storage
    way = old._connect()
    answered: list[bool] = []

    class Losing:
        def __getattr__(self, method: str) -> Any:
            return getattr(way.s3, method)

        def put_object(self, **parameters: Any) -> Any:
            way.s3.put_object(**parameters)
            if not answered:
                answered.append(False)
                raise AwsError("s3:PutObject", Kind.UNREACHABLE)

    losing: Any = Losing()
    storage = S3EventStorage("aws-1", lambda: Connection(lambda: losing, way.place), old._cache)
    rig = Rig(storage, s3.folder, s3.change)
    with pytest.raises(AwsError):
        rig.put(NAME)
    rig.put(NAME)
    assert rig.read(NAME) == b"events"


def test_conflicts_without_end_are_an_error_that_is_tried_later(sandbox: Sandbox, s3: Rig) -> None:
    sandbox.fail("s3:PutObject", "ConditionalRequestConflict", status=409, times=9)
    with pytest.raises(StorageError):
        s3.put(NAME)
    sandbox.clear_faults()
    s3.put(NAME)


def test_what_was_delivered_is_in_the_cache_and_what_was_not_is_fetched_once(sandbox: Sandbox, s3: Rig) -> None:
    s3.put(NAME)
    sandbox.clear_calls()
    assert s3.read(NAME) == b"events"
    assert sandbox.calls() == []
    rig = fresh(s3)
    wanted = [Wanted(NAME, hashlib.sha256(b"events").hexdigest(), 6)]
    with rig.storage.local(wanted) as first, rig.storage.local(wanted) as second:
        assert first == second
    assert [call.action for call in sandbox.calls()] == ["s3:GetObject"]


def test_an_object_that_others_removed_or_changed_is_named_and_nothing_is_kept_of_it(s3: Rig) -> None:
    s3.put(NAME)
    rig = fresh(s3)
    rig.change(NAME, b"other!")
    assert isinstance(rig.read(NAME), ObjectChanged)
    rig.change(NAME, b"much longer than it was")
    assert isinstance(rig.read(NAME), ObjectChanged)
    rig.change(NAME, None)
    assert isinstance(rig.read(NAME), ObjectMissing)
    rig.change(NAME, b"events")
    assert rig.read(NAME) == b"events"


@pytest.mark.parametrize("theirs", [b"longer than ours", b"others"])
def test_what_could_not_be_fetched_leaves_nothing_on_the_disk(s3: Rig, theirs: bytes) -> None:
    s3.put(NAME)
    s3.change(NAME, theirs)
    assert isinstance(fresh(s3).read(NAME), ObjectChanged)
    assert [path for path in (s3.folder / "another-cache").rglob("*") if path.is_file()] == []


def test_a_cache_from_before_is_compared_and_a_wrong_copy_fetched_anew(sandbox: Sandbox, s3: Rig) -> None:
    s3.put(NAME)
    path = Path(s3.storage.local_path(NAME))
    path.unlink()
    path.write_bytes(b"wrong!")
    (path.parent / "half.part").write_bytes(b"x")
    old: Any = s3.storage
    again = S3EventStorage("aws-1", old._connect, ObjectCache(s3.folder / "cache", 1 << 20, 4))
    assert Rig(again, s3.folder, s3.change).read(NAME) == b"events"
    assert not (path.parent / "half.part").exists()


def test_the_cache_keeps_its_bound_and_gives_up_what_was_used_longest_ago(s3: Rig) -> None:
    names = [f"2026-11-18/0123456789abcdef0123-{number}-{number}.parquet" for number in range(1, 5)]
    for number, name in enumerate(names):
        s3.put(name, bytes([number]) * 100)
    rig = fresh(s3, most_bytes=250)

    def read(number: int) -> bytes | StorageError:
        return rig.read(names[number], bytes([number]) * 100)

    assert [read(number) for number in (0, 1, 0, 2)] == [bytes([number]) * 100 for number in (0, 1, 0, 2)]
    there = [Path(rig.storage.local_path(name)).exists() for name in names]
    assert there == [True, False, True, False]
    digests = [hashlib.sha256(bytes([number]) * 100).hexdigest() for number in range(4)]
    wanted = [Wanted(name, digest, 100) for name, digest in zip(names, digests, strict=True)]
    with rig.storage.local(wanted) as found:
        assert [Path(str(found[name])).exists() for name in names] == [True] * 4, (
            "what is read stays, whatever its size"
        )
    assert sum(Path(rig.storage.local_path(name)).exists() for name in names) == 2


def test_a_cache_is_emptied_of_one_storage_and_of_what_is_read_once_that_is_read(s3: Rig) -> None:
    names = [f"2026-11-18/0123456789abcdef0123-{number}-{number}.parquet" for number in range(1, 3)]
    for name in names:
        s3.put(name)
    cache: ObjectCache = s3.storage._cache  # type: ignore[attr-defined]
    path, _, size = s3.spooled(b"of another")
    cache.take("aws-10", names[0], path, size)
    other = cache.path("aws-10", names[0])
    reading, left = (Path(s3.storage.local_path(name)) for name in names)
    with s3.storage.local([Wanted(names[0], hashlib.sha256(b"events").hexdigest(), 6)]):
        s3.storage.forget_copies()
        assert (reading.exists(), left.exists()) == (True, False)
    assert (reading.exists(), Path(other).exists(), cache.bytes) == (False, True, size)
    assert s3.read(names[1]) == b"events", "it is fetched again"


def test_a_fetch_that_takes_too_long_is_told_and_goes_on(sandbox: Sandbox, s3: Rig) -> None:
    s3.put(NAME)
    rig = fresh(s3)
    wanted = Wanted(NAME, hashlib.sha256(b"events").hexdigest(), 6)
    with rig.storage.local([wanted], deadline=0.0) as found:
        assert isinstance(found[NAME], StorageTimeout)
    assert rig.read(NAME) == b"events"


def test_a_storage_that_fails_now_is_named_in_our_own_words(sandbox: Sandbox, s3: Rig) -> None:
    s3.put(NAME)
    rig = fresh(s3)
    sandbox.fail("s3:GetObject", "AccessDenied", status=403, times=9)
    error = rig.read(NAME)
    assert isinstance(error, AwsError)
    assert str(error) == "s3:GetObject: AWS did not allow it (AccessDenied)"
