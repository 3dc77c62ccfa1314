"""Uploads that end in a bucket: faults of S3 and lost answers, versions of others, and several storages at once."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, delete
from sqlalchemy import update as change

from server.errors import DataLoss, FailedPrecondition, Unavailable
from server.recordings.recording import UploadState
from server.state.database import open_database, writing
from server.state.tables import recordings, uploads
from server.storage.aws import custody_records
from server.storage.aws.stored_objects import Stored
from server.storage.aws.stored_recordings import MOST_ASKED
from server.storage.recording_port import NAMES_AT_ONCE, RecordName, UploadPlace
from tests.clouded_uploads import DATA, NAME, away, bucket
from tests.memory_s3 import CloudedFiles, MemoryS3, Version
from tests.uploads_under_test import (
    OTHER_NODE,
    OTHER_SESSION,
    SESSION,
    S3UploadsUnderTest,
    SameThread,
    access,
)


def test_a_recording_is_one_version_of_its_parts_and_custody_names_it(service: S3UploadsUnderTest) -> None:
    recording, state = asyncio.run(service.record(DATA))
    looks = {name: service.s3.asked.count(name) for name in ("list_object_versions", "head_object", "put_object")}
    assert looks == {"list_object_versions": 2, "head_object": 1, "put_object": 1}, "as docs/cost.md counts"
    assert "list_parts" not in service.s3.asked
    (version,) = bucket(service)
    assert (state, version.data, recording.storage) == (UploadState.COMPLETED, DATA, "aws-1")
    assert version.checksum.endswith("-6"), "the custody digest is what S3 has as its checksum"
    assert asyncio.run(service.content(recording, 13, 40)) == DATA[13:53]
    record = service.storage.custody(UploadPlace(SESSION, recording.upload_id[:32]), aside=False)
    where = {"bucket": "bucket", "key": NAME, "kind": "recording", "version_id": version.version_id}
    assert record is not None
    assert orjson.loads(record)["stored"] == where
    assert [event["storage"] for event in service.told()] == ["aws-1"]
    assert list(service.storage.uploads()) == [], "nothing is left in the spool"


def test_a_spool_that_lets_nothing_go_keeps_no_answer_back_and_is_emptied_by_the_next_start(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def remove(path: Path) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as faulty:
        faulty.setattr(service.files, "remove", remove)
        _, state = asyncio.run(service.record(DATA))
    assert (state, len(list(service.storage.uploads()))) == (UploadState.COMPLETED, 1)
    assert "can't be removed from the spool" in caplog.text
    later = S3UploadsUnderTest(service.files, service.engine)
    assert list(later.storage.uploads()) == []


def test_of_a_spool_that_has_lost_bytes_nothing_is_completed(service: S3UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(DATA))
    service.s3.fails = away
    with pytest.raises(Unavailable):
        asyncio.run(service.complete(upload_id))  # its end is decided: nobody opens it for writing any more
    service.s3.fails = lambda operation: None
    file = service.files.open_append(service.folder / "_uploads" / upload_id[:32] / "data")
    file.truncate(len(DATA) - 1)
    file.close()
    with pytest.raises(Unavailable, match="shorter than what was durable"):
        asyncio.run(service.complete(upload_id))
    assert bucket(service) == []


def test_of_a_spool_that_is_emptied_the_data_goes_first(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stop leaves of it is no upload any more, and stays."""
    removed, really = list[str](), service.files.remove
    monkeypatch.setattr(service.files, "remove", lambda path: (removed.append(path.name), really(path)))
    asyncio.run(service.record(DATA))
    assert (removed[0], len(removed)) == ("data", 5)


def test_the_oldest_version_stays_the_recording_and_another_is_a_later_one(service: S3UploadsUnderTest) -> None:
    first, _ = asyncio.run(service.record(DATA))
    aside, state = asyncio.run(service.record(b"another", who=OTHER_NODE))
    repeated, again = asyncio.run(service.record(DATA, who=OTHER_NODE))
    assert (state, again, repeated) == (UploadState.KEPT_ASIDE, UploadState.REPEATED, first)
    assert [each.data for each in bucket(service)] == [DATA, b"another"]
    assert asyncio.run(service.content(first)) == DATA
    assert asyncio.run(service.content(aside)) == b"another"


def test_what_repeats_a_recording_of_another_service_is_the_sessions_here(
    service: S3UploadsUnderTest, tmp_path: Path
) -> None:
    """Its custody record is of an upload that this one never began, so nobody could read it here."""
    engine = open_database(tmp_path / "other.db")
    asyncio.run(S3UploadsUnderTest(service.files, engine, Path("data") / "other", secret=b"o" * 32).record(DATA))
    engine.dispose()
    recording, state = asyncio.run(service.record(DATA, who=OTHER_NODE))
    assert state is UploadState.COMPLETED
    assert asyncio.run(service.content(recording)) == DATA
    assert [each.data for each in bucket(service)] == [DATA, DATA]


def test_what_repeats_a_recording_that_the_state_lost_and_has_yet_to_recall_is_a_repeat(
    service: S3UploadsUnderTest,
) -> None:
    first, _ = asyncio.run(service.record(DATA))
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table))
    upload_id = asyncio.run(service.send(DATA, who=OTHER_NODE))
    with pytest.raises(Unavailable, match="isn't known yet"):
        asyncio.run(service.complete(upload_id, who=OTHER_NODE))
    asyncio.run(service.settling.look())
    recording, state = asyncio.run(service.complete(upload_id, who=OTHER_NODE))
    assert (state, recording.upload_id) == (UploadState.REPEATED, first.upload_id)


@pytest.mark.parametrize("versions", ["suspended", "begun later", "suspended later"])
def test_what_could_be_put_over_is_left_alone_whatever_becomes_of_the_buckets_versions(
    service: S3UploadsUnderTest, versions: str
) -> None:
    """Its owner may suspend them at any time; what was put meanwhile can be put over, but for a condition."""
    assert isinstance(service.files, CloudedFiles)
    bucket_now = service.files.bucket
    bucket_now.keeps_versions = versions == "begun later"
    theirs = Version(NAME, "n0" if versions == "suspended later" else "null", b"of others", {}, "")

    def comes_between(operation: str) -> None:
        if operation == "complete_multipart_upload" and not bucket(service):
            bucket_now.versions.append(theirs)

    service.s3.fails = comes_between
    recording, state = asyncio.run(service.record(DATA))
    other, again = asyncio.run(service.record(b"another", who=OTHER_NODE))
    assert (state, again) == (UploadState.COMPLETED, UploadState.KEPT_ASIDE)
    assert bucket(service) == [theirs], "nothing else has a name that can be put over"
    over = f"sessions/_asides/{SESSION}/{recording.upload_id[:32]}.tar"
    bucket_now.versions.append(Version(over, "v", b"over", {}, ""))
    later = S3UploadsUnderTest(service.files, service.engine)
    for reading in (service, later):
        assert [asyncio.run(reading.content(each)) for each in (recording, other)] == [DATA, b"another"]


@pytest.mark.parametrize(("size", "most"), [(7, MOST_ASKED + 9), (8, 9)])
def test_of_versions_that_others_put_some_are_asked_whose_they_are_and_none_of_another_size(
    service: S3UploadsUnderTest, size: int, most: int
) -> None:
    first, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    planted = [Version(NAME, f"t{number}", bytes(size), {}, "") for number in range(2 * MOST_ASKED)]
    service.files.bucket.versions += planted
    service.s3.asked.clear()
    aside, state = asyncio.run(service.record(b"another", who=OTHER_NODE))
    assert state is UploadState.KEPT_ASIDE
    assert service.s3.asked.count("head_object") <= most
    assert [asyncio.run(service.content(each)) for each in (first, aside)] == [DATA, b"another"]


def test_where_none_need_be_kept_another_recording_has_a_name_of_its_own(engine: Engine) -> None:
    service = S3UploadsUnderTest(CloudedFiles(keeps_versions=False), engine)
    first, _ = asyncio.run(service.record(DATA))
    aside, state = asyncio.run(service.record(b"another", who=OTHER_NODE))
    assert (state, [each.data for each in bucket(service)]) == (UploadState.KEPT_ASIDE, [DATA])
    assert [asyncio.run(service.content(each)) for each in (first, aside)] == [DATA, b"another"]
    record = service.storage.custody(UploadPlace(SESSION, aside.upload_id[:32]), aside=True)
    assert record is not None
    named = f"sessions/_asides/{SESSION}/{aside.upload_id[:32]}.tar"
    assert orjson.loads(record)["stored"] == {"bucket": "bucket", "key": named, "kind": "aside"}


@pytest.mark.parametrize("data", [DATA, b"another"], ids=["the same", "another"])
def test_what_comes_after_a_recording_that_is_gone_is_kept_aside_and_not_put_in_its_place(
    service: S3UploadsUnderTest, data: bytes
) -> None:
    """Expired, or deleted with all its versions: it may be the only copy, and the state knows what the other was."""
    first, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    service.files.bucket.versions.clear()
    aside, state = asyncio.run(service.record(data, who=OTHER_NODE))
    assert state is UploadState.KEPT_ASIDE
    assert asyncio.run(service.content(aside)) == data
    assert asyncio.run(service.recordings.find(SESSION)) == first


def test_changed_bytes_are_not_given(service: S3UploadsUnderTest) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    versions = service.files.bucket.versions
    at = next(number for number, each in enumerate(versions) if each.key == NAME)
    versions[at] = Version(NAME, versions[at].version_id, DATA[:-1] + b"!", versions[at].metadata, "")
    with pytest.raises(DataLoss, match="part 6"):
        asyncio.run(service.content(recording))


@pytest.mark.parametrize("keeps_versions", [True, False])
@pytest.mark.parametrize(
    "operation", ["create_multipart_upload", "upload_part", "complete_multipart_upload", "put_object"]
)
def test_an_answer_that_is_lost_is_found_out(engine: Engine, operation: str, keeps_versions: bool) -> None:
    """What was asked is done, and the answer lost once: a repeat makes no second version and no second record."""
    service = S3UploadsUnderTest(CloudedFiles(keeps_versions=keeps_versions), engine)
    upload_id = asyncio.run(service.send(DATA))
    lost: list[str] = []

    def loses(asked: str) -> bool:
        if asked == operation and not lost:
            lost.append(asked)
            return True
        return False

    service.s3.loses = loses
    if operation in ("create_multipart_upload", "upload_part"):  # these were sent ahead: another upload's are lost
        upload_id = asyncio.run(service.send(DATA, who=OTHER_NODE))
        asyncio.run(service.complete(upload_id, who=OTHER_NODE))
    else:
        with pytest.raises(Unavailable):
            asyncio.run(service.complete(upload_id))
        asyncio.run(service.complete(upload_id))
    assert lost
    assert [each.data for each in bucket(service)] == [DATA]


@pytest.mark.parametrize("recorded", [False, True], ids=["the recording", "another"])
def test_the_spool_lets_go_of_nothing_that_s3_has_otherwise(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch, recorded: bool
) -> None:
    if recorded:
        asyncio.run(service.record(b"the recording", who=OTHER_NODE))
    upload_id = asyncio.run(service.send(DATA))
    head = MemoryS3._head_object
    monkeypatch.setattr(
        MemoryS3, "_head_object", lambda self, **asked: {**head(self, **asked), "ChecksumSHA256": "other-6"}
    )
    with pytest.raises(Unavailable, match="isn't what was sent"):
        asyncio.run(service.complete(upload_id))
    assert [found.key for found in service.storage.uploads()] == [upload_id[:32]]
    assert service.storage.read_upload(UploadPlace(SESSION, upload_id[:32]), 0, 100) == DATA


def test_completion_sends_what_waits_behind_other_uploads_itself_the_last_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(SameThread):
        def submit(self, work: Callable[..., Any], /, *_: Any, **__: Any) -> Future[Any]:
            return Future()

    service = S3UploadsUnderTest(CloudedFiles(), engine, senders=Busy())
    sent, upload_part = list[int](), MemoryS3._upload_part

    def notes(self: MemoryS3, PartNumber: int, **asked: Any) -> Any:  # noqa: N803
        sent.append(PartNumber)
        return upload_part(self, PartNumber=PartNumber, **asked)

    monkeypatch.setattr(MemoryS3, "_upload_part", notes)
    upload_id = asyncio.run(service.send(DATA))
    assert not sent
    asyncio.run(service.complete(upload_id))
    assert sent == [5, 4, 3, 2, 1, 6], "those who send ahead begin with the first; the open one was never to be"
    assert [each.data for each in bucket(service)] == [DATA]


def test_while_s3_is_away_uploads_go_on_and_are_completed_once_it_is_back(service: S3UploadsUnderTest) -> None:
    service.s3.fails = away
    upload_id = asyncio.run(service.send(DATA[:50]))
    asyncio.run(service.send(DATA[50:], upload_id=upload_id, at=50))
    assert service.s3.asked.count("create_multipart_upload") == 1, "nothing is sent ahead for a while"
    with pytest.raises(Unavailable):
        asyncio.run(service.complete(upload_id))
    assert bucket(service) == []
    service.s3.fails = lambda operation: None
    asyncio.run(service.settling.look())
    assert [each.data for each in bucket(service)] == [DATA], "also if nobody asks again"
    recording, state = asyncio.run(service.complete(upload_id))
    assert (state, recording.upload_id) == (UploadState.COMPLETED, upload_id)


def test_a_start_waits_for_no_storage_and_ends_what_was_decided_beside_it(service: S3UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(DATA))
    service.s3.fails = away
    with pytest.raises(Unavailable):
        asyncio.run(service.complete(upload_id))
    later = S3UploadsUnderTest(service.files, service.engine)
    assert (later.failed, later.s3.asked) == (0, [])
    asyncio.run(later.settling.look())
    assert asyncio.run(later.uploads.get(access(), upload_id)).state is UploadState.COMPLETED


def test_what_the_state_lost_is_known_again(service: S3UploadsUnderTest) -> None:
    asyncio.run(service.record(DATA))
    asyncio.run(service.record(b"another", who=OTHER_NODE))
    given_up = asyncio.run(service.send(DATA, session=OTHER_SESSION))
    asyncio.run(service.uploads.abort(access(), given_up))
    before = service.store.recordings_of([SESSION, OTHER_SESSION])
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table))
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert later.store.recordings_of([SESSION, OTHER_SESSION]) == before


def test_what_the_state_lost_is_known_again_though_as_much_has_expired_and_nothing_else_is_read_for_it(
    service: S3UploadsUnderTest,
) -> None:
    asyncio.run(service.record(DATA))
    kept, _ = asyncio.run(service.record(b"kept", session=OTHER_SESSION, who=OTHER_NODE))
    lost, _ = asyncio.run(service.record(b"lost", session=OTHER_SESSION))
    assert isinstance(service.files, CloudedFiles)
    there = service.files.bucket.versions
    there[:] = [each for each in there if SESSION not in each.key]
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table).where(table.c.upload_id == lost.upload_id))
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert {each.upload_id for each in later.store.recordings_of([OTHER_SESSION])} == {kept.upload_id, lost.upload_id}
    assert later.s3.asked.count("get_object") == 1


def test_a_custody_record_of_others_that_cant_be_read_has_nothing_asked_for_again(service: S3UploadsUnderTest) -> None:
    """It is the only one that is read where the state knows all of ours."""
    asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    bucket, forged = service.files.bucket, f"sessions/_custody/{SESSION}/{'f' * 32}.json"
    bucket.put(Version(forged, "n9", b"{}", {}, ""))
    bucket.archived = frozenset({forged})
    later = S3UploadsUnderTest(service.files, service.engine)
    for _ in range(2):
        asyncio.run(later.settling.look())
    assert later.s3.asked.count("get_object") == 2, "that one, and one of ours to tell that it is the only one"
    bucket.archived = frozenset(each.key for each in bucket.versions)
    later = S3UploadsUnderTest(service.files, service.engine)
    for _ in range(2):
        asyncio.run(later.settling.look())
    assert later.s3.asked.count("get_object") == 4, "what can't be told now is asked again"


def test_names_of_custody_records_are_walked_through_and_not_gathered(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others can put as many there as they like."""
    listed, looked_up = 0, 0

    def names(*_: object, **__: object) -> Iterator[Stored]:
        nonlocal listed
        for number in range(3 * NAMES_AT_ONCE):
            listed += 1
            assert listed - looked_up <= NAMES_AT_ONCE + 2
            yield Stored(f"_custody/{SESSION}/{number:032x}.json", "n1")

    def choose(some: Sequence[RecordName]) -> Set[RecordName]:
        nonlocal looked_up
        looked_up += len(some)
        return frozenset()

    monkeypatch.setattr(custody_records, "listed", names)
    assert not list(service.storage.custody_records(choose))
    assert looked_up == 3 * NAMES_AT_ONCE


def test_what_ended_after_the_state_was_copied_is_ended_again(service: S3UploadsUnderTest) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    with writing(service.engine).begin() as connection:
        connection.execute(delete(recordings))
        connection.execute(change(uploads).values(state="open", ended_ms=None))
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert asyncio.run(later.recordings.find(SESSION)) == recording


def test_an_aborted_upload_stays_in_s3_as_a_multipart_upload_that_is_open(service: S3UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(DATA))
    asyncio.run(service.uploads.abort(access(), upload_id))
    assert isinstance(service.files, CloudedFiles)
    (opened,) = service.files.bucket.open.values()
    assert (b"".join(opened.parts.values()), bucket(service)) == (DATA, [])
    recording = asyncio.run(service.recordings.find(SESSION, upload_id))
    assert recording is not None
    with pytest.raises(FailedPrecondition, match="multipart upload"):
        asyncio.run(service.content(recording))
