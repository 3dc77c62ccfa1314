"""What every storage of recordings keeps to: the embedded one, and such in the sandbox's S3 with uploads in parts, in
buckets with versions and without, of a store that can all that AWS can, and of one that knows neither conditions nor
SHA-256."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from server.files import DiskFiles
from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.place import Connection, Place
from server.storage.aws.recordings import S3Recordings
from server.storage.aws.store import AWS, Refusal, Store
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.upload_folders import UploadFolders
from server.storage.ports import StorageError
from server.storage.recording_port import Part, RecordingStorage, UploadPlace
from server.storage.spec import S3Location
from tests.sandbox.running import Sandbox, running_sandbox
from tests.uploads_under_test import OTHER_SESSION, SESSION

MIB = 1024 * 1024
DATA = bytes(range(256)) * (5 * MIB // 256) + b"the open part"
"""One part as small as S3 takes it, and another."""
PARTS = tuple(
    Part(number, offset, len(data), hashlib.sha256(data).hexdigest())
    for number, offset, data in ((1, 0, DATA[: 5 * MIB]), (2, 5 * MIB, DATA[5 * MIB :]))
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as running:
        yield running


@dataclass
class Rig:
    """A way to open a storage, which a new process could go as well."""

    open: Callable[[], RecordingStorage]


STORES = {
    "s3": AWS,
    "s3 without versions": Store(needs_versions=False),
    "s3 with little": Store(conditional_writes=False, checksums=False, needs_versions=False),
}


def s3_rig(
    sandbox: Sandbox,
    folder: Path,
    store: Store = AWS,
    account_id: str = "",
    meddle: Callable[[ServiceClient, str], Callable[..., Any]] = getattr,
) -> Rig:
    """`meddle` gives what is called instead of a client's method."""
    client = sandbox.client("s3")
    bucket = bucket_of(folder)
    where = {"LocationConstraint": sandbox.region}
    versions = {"ObjectLockEnabledForBucket": True} if store.needs_versions else {}
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where, **versions)
    place = Place(S3Location(bucket, "audit/sessions"), account_id or sandbox.account_id, store=store)
    way = Connection(lambda: cast(ServiceClient, Meddling(ServiceClient("s3", client), meddle)), place)
    threads = ThreadPoolExecutor(2)
    return Rig(lambda: S3Recordings("aws-1", UploadFolders(DiskFiles(), folder / "spool"), lambda: way, threads))


class Meddling:
    """A client between whose calls others come."""

    def __init__(self, client: ServiceClient, meddle: Callable[[ServiceClient, str], Callable[..., Any]]) -> None:
        self._client = client
        self._meddle = meddle

    def __getattr__(self, method: str) -> Callable[..., Any]:
        return self._meddle(self._client, method)


def bucket_of(folder: Path) -> str:
    return f"recordings-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


@pytest.fixture(params=["embedded", *STORES])
def rig(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Rig:
    if request.param in STORES:
        return s3_rig(sandbox, tmp_path, STORES[request.param])
    return Rig(lambda: EmbeddedRecordings(DiskFiles(), tmp_path / "recordings"))


def upload(storage: RecordingStorage, key: str, data: bytes = DATA, parts: tuple[Part, ...] = PARTS) -> UploadPlace:
    """Upload and decide; the custody record is JSON that has the key."""
    place = storage.begin(SESSION, key * 32, b"begun")
    writer = storage.open(place)
    writer.append(data)
    writer.sync(parts[:-1], parts[-1])
    writer.close()
    storage.decide(place, orjson.dumps({"n": key}))
    return place


def small(data: bytes) -> tuple[bytes, tuple[Part, ...]]:
    return data, (Part(1, 0, len(data), hashlib.sha256(data).hexdigest()),)


def key_in(record: bytes | None) -> str | None:
    return None if record is None else str(orjson.loads(record)["n"])


def test_an_upload_becomes_the_recording_and_is_read_by_ranges(rig: Rig) -> None:
    storage = rig.open()
    place = upload(storage, "a")
    assert [(found.key, found.begun) for found in storage.uploads()] == [(place.key, b"begun")]
    assert storage.read_upload(place, 5 * MIB - 2, 6) == DATA[5 * MIB - 2 : 5 * MIB + 4]
    assert key_in(storage.complete(place)) == "a"
    assert key_in(rig.open().complete(place)) == "a", "doing it again is no error"
    storage.forget(place)
    for opened in (storage, rig.open()):
        for named in (place, UploadPlace(SESSION, "")):
            assert opened.read(named, 0, 7 * MIB, aside=False) == DATA
            assert opened.read(named, 5 * MIB - 2, 6, aside=False) == DATA[5 * MIB - 2 : 5 * MIB + 4]
            assert opened.read(named, len(DATA), 5, aside=False) == b""
            assert key_in(opened.custody(named, aside=False)) == "a"
    assert list(storage.uploads()) == []


def test_what_was_durable_is_there_in_another_process_and_gone_on_with(rig: Rig) -> None:
    first = rig.open()
    place = first.begin(SESSION, "a" * 32, b"begun")
    writer = first.open(place)
    writer.append(DATA[: 5 * MIB])
    writer.sync(PARTS[:1], None)
    writer.append(b"never synced")
    writer.close()
    second = rig.open()
    writer = second.open(place)
    assert (writer.offset, list(writer.parts), writer.tail) == (5 * MIB, list(PARTS[:1]), None)
    writer.append(DATA[5 * MIB :])
    writer.sync((), PARTS[1])
    writer.close()
    second.decide(place, b'{"n": "a"}')
    second.complete(place)
    assert second.read(place, 0, 7 * MIB, aside=False) == DATA


def test_another_of_the_session_is_kept_aside_and_the_recording_stays(rig: Rig) -> None:
    storage = rig.open()
    first, second = upload(storage, "a", *small(b"first")), upload(storage, "b", *small(b"second"))
    storage.complete(first)
    assert key_in(storage.complete(second)) == "a"
    storage.keep_aside(second)
    storage.keep_aside(second)
    storage.forget(second)
    assert storage.read(first, 0, 100, aside=False) == b"first"
    assert storage.read(UploadPlace(SESSION, ""), 0, 100, aside=False) == b"first"
    assert storage.read(second, 0, 100, aside=True) == b"second"
    assert key_in(storage.custody(second, aside=True)) == "b"
    found = list(storage.custody_records())
    assert {(key_in(record), is_aside) for _, record, is_aside in found} == {("a", False), ("b", True)}
    seen: list[tuple[str, str]] = []
    assert not list(storage.custody_records(lambda names: (seen.extend(names), set[tuple[str, str]]())[1]))
    assert seen == [name for name, _, _ in found]
    assert seen in ([(SESSION, ""), (SESSION, second.key)], sorted((SESSION, each.key) for each in (first, second)))


def test_what_was_aborted_is_kept_with_its_record(rig: Rig) -> None:
    storage = rig.open()
    place = upload(storage, "a")
    storage.keep_aborted(place)
    storage.keep_aborted(place)
    storage.forget(place)
    assert key_in(storage.custody(place, aside=True)) == "a"
    assert [each[2] for each in storage.custody_records()] == [True]
    following = upload(storage, "b", *small(b"following"))
    assert key_in(storage.complete(following)) == "b", "it doesn't keep the session from having a recording"


def test_what_is_there_is_listed_and_its_checksum_known_without_reading_it_where_the_storage_can(rig: Rig) -> None:
    storage = rig.open()
    first, second = upload(storage, "a"), upload(storage, "b", *small(b"second"))
    storage.complete(first)
    storage.keep_aside(second)
    sizes = {(each.session_id, each.key): each.sizes for each in storage.stored()}
    one_name = {(SESSION, ""): (len(DATA), len(b"second"))}
    two_names = {(SESSION, ""): (len(DATA),), (SESSION, second.key): (len(b"second"),)}
    assert sizes in (one_name, two_names)
    assert not any(each.is_deleted for each in storage.stored())
    digest = hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in PARTS)).hexdigest()
    assert storage.checksum(first, aside=False) in ("", digest)
    assert storage.checksum(UploadPlace(OTHER_SESSION, "c" * 32), aside=False) is None


def test_what_was_deleted_is_listed_as_such_and_s3_knows_the_custody_digest(sandbox: Sandbox, tmp_path: Path) -> None:
    storage = s3_rig(sandbox, tmp_path).open()
    place = upload(storage, "a")
    storage.complete(place)
    sandbox.client("s3").delete_object(Bucket=bucket_of(tmp_path), Key=f"audit/sessions/{SESSION}.tar")
    assert [(each.sizes, each.is_deleted) for each in storage.stored()] == [((len(DATA),), True)]
    digest = hashlib.sha256(b"".join(bytes.fromhex(part.sha256) for part in PARTS)).hexdigest()
    assert storage.checksum(place, aside=False) == digest


def test_the_first_decision_stays(rig: Rig) -> None:
    storage = rig.open()
    place = storage.begin(SESSION, "a" * 32, b"begun")
    assert storage.decided(place) is None
    assert storage.decide(place, b'{"n": "a"}') == storage.decide(place, b'{"n": "b"}') == b'{"n": "a"}'
    assert rig.open().decided(place) == b'{"n": "a"}'


def test_parts_go_to_s3_while_the_upload_lasts_and_are_sent_once(sandbox: Sandbox, tmp_path: Path) -> None:
    storage = s3_rig(sandbox, tmp_path).open()
    sandbox.clear_calls()
    storage.complete(upload(storage, "a"))
    operations = [call.operation for call in sandbox.calls()]
    assert [operations.count(name) for name in ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")] == [
        1,
        2,
        1,
    ]


def test_a_bucket_of_another_account_is_given_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    storage = s3_rig(sandbox, tmp_path, account_id="210987654321").open()
    with pytest.raises(AwsError):
        storage.complete(upload(storage, "a", *small(b"first")))


@pytest.mark.parametrize("name", ["s3 without versions", "s3 with little"])
def test_without_versions_uploads_that_end_at_once_make_one_recording(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    looked, other_ended = threading.Event(), threading.Event()

    def meddle(client: ServiceClient, method: str) -> Callable[..., Any]:
        if method == "complete_multipart_upload" and not looked.is_set():
            looked.set()
            other_ended.wait(0.5)  # in vain where the other is kept waiting for this one
        return cast(Callable[..., Any], getattr(client, method))

    storage = s3_rig(sandbox, tmp_path, STORES[name], meddle=meddle).open()
    places = {key: upload(storage, key, *small(key.encode())) for key in "ab"}
    with ThreadPoolExecutor(1) as thread:
        first = thread.submit(storage.complete, places["a"])
        assert looked.wait(60)
        kept = [storage.complete(places["b"])]
        other_ended.set()
        kept.append(first.result())
    (winner,) = {key_in(record) for record in kept if record is not None}
    assert winner is not None
    (other,) = places.keys() - {winner}
    storage.keep_aside(places[other])
    assert storage.read(places[other], 0, 9, aside=True) == other.encode()
    assert storage.read(UploadPlace(SESSION, ""), 0, 9, aside=False) == winner.encode()


@pytest.mark.parametrize("name", ["s3", "s3 without versions"])
def test_the_condition_keeps_what_another_process_put_between_and_the_recording_goes_beside_it(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    def meddle(client: ServiceClient, method: str) -> Callable[..., Any]:
        if method == "complete_multipart_upload":
            sandbox.client("s3").put_object(Bucket=bucket_of(tmp_path), Key=f"audit/sessions/{SESSION}.tar", Body=b"x")
        return cast(Callable[..., Any], getattr(client, method))

    storage = s3_rig(sandbox, tmp_path, STORES[name], meddle=meddle).open()
    place = upload(storage, "a")
    assert storage.complete(place) is None, "others put one that has no record"
    for _ in range(2):
        assert storage.complete_beside(place)
    assert storage.read(UploadPlace(SESSION, ""), 0, 9, aside=False) == b"x"
    assert storage.read(place, 0, 7 * MIB, aside=False) == DATA


@pytest.mark.parametrize("taken", [f"{SESSION}.tar", f"_custody/{SESSION}/{'a' * 32}.json"])
def test_a_store_that_was_not_seen_to_refuse_is_looked_at_before_what_is_there_is_written_over(
    sandbox: Sandbox, tmp_path: Path, taken: str
) -> None:
    """It may pass over the condition, and then nothing else keeps what others put there a moment ago."""
    where = {"Bucket": bucket_of(tmp_path), "Key": f"audit/sessions/{taken}"}

    def meddle(client: ServiceClient, method: str) -> Callable[..., Any]:
        if method == "upload_part":  # of the open part, once the session was seen to have no recording
            sandbox.client("s3").put_object(**where, Body=b"x")
        return cast(Callable[..., Any], getattr(client, method))

    store = Store(needs_versions=False, refusal=Refusal(is_seen=False))
    storage = s3_rig(sandbox, tmp_path, store, meddle=meddle).open()
    sandbox.pass_over_conditions()
    with suppress(StorageError):  # of a custody record that isn't ours
        assert storage.complete(upload(storage, "a", *small(b"recording"))) is None
    sandbox.clear_faults()
    assert sandbox.client("s3").get_object(**where)["Body"].read() == b"x"


def test_without_checksums_the_spool_goes_only_after_the_bytes_were_read_again(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    def meddle(client: ServiceClient, method: str) -> Callable[..., Any]:
        if method == "get_bucket_versioning":
            raise AwsError("s3:GetBucketVersioning", Kind.FAILING, "NotImplemented", status=501)
        if method == "upload_part":
            return lambda **asked: client.upload_part(**asked | changed(asked))
        return cast(Callable[..., Any], getattr(client, method))

    def changed(asked: dict[str, Any]) -> dict[str, Any]:
        wrong = bytes(asked["ContentLength"])
        return {"Body": wrong, "ContentMD5": base64.b64encode(hashlib.md5(wrong).digest()).decode()}

    storage = s3_rig(sandbox, tmp_path, STORES["s3 with little"], meddle=meddle).open()
    place = upload(storage, "a")
    with pytest.raises(StorageError, match="isn't what was sent"):
        storage.complete(place)
    assert [found.key for found in storage.uploads()] == [place.key]
    assert not list(storage.custody_records())
