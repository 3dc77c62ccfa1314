"""What every storage of recordings keeps to: the embedded one, and one in the sandbox's S3 with uploads in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from server.files import DiskFiles
from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError
from server.storage.aws.place import Connection, Place
from server.storage.aws.recordings import S3Recordings
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.upload_folders import UploadFolders
from server.storage.recording_port import Part, RecordingStorage, UploadPlace
from server.storage.spec import S3Location
from tests.sandbox.running import Sandbox, running_sandbox
from tests.uploads_under_test import SESSION

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


def s3_rig(sandbox: Sandbox, folder: Path, **place: str) -> Rig:
    client = sandbox.client("s3")
    bucket = f"recordings-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    where = {"LocationConstraint": sandbox.region}
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    way = Connection(
        lambda: ServiceClient("s3", client),
        Place(S3Location(bucket, "audit/sessions"), **{"account_id": sandbox.account_id} | place),
    )
    threads = ThreadPoolExecutor(2)
    return Rig(lambda: S3Recordings("aws-1", UploadFolders(DiskFiles(), folder / "spool"), lambda: way, threads))


@pytest.fixture(params=["embedded", "s3"])
def rig(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Rig:
    if request.param == "s3":
        return s3_rig(sandbox, tmp_path)
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
    found = {(session, key_in(record), is_aside) for session, record, is_aside in storage.custody_records()}
    assert found == {(SESSION, "a", False), (SESSION, "b", True)}
    assert storage.count_custody_records() == 2


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
