"""Uploads that end in a bucket where others write too: what they put there counts for nothing, and is left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, delete
from sqlalchemy import update as change

from server.errors import Unavailable
from server.recordings.recording import UploadState
from server.state.database import writing
from server.state.tables import recordings, uploads
from server.storage.aws.errors import AwsError, Kind
from server.storage.recording_port import UploadPlace
from tests.clouded_uploads import DATA, NAME, away, bucket
from tests.memory_s3 import CloudedFiles, MemoryS3, Version
from tests.uploads_under_test import (
    OTHER_NODE,
    OTHER_SESSION,
    SESSION,
    S3UploadsUnderTest,
    access,
)


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_what_others_put_there_first_stays_and_keeps_no_session_from_its_recording(
    engine: Engine, keeps_versions: bool
) -> None:
    """Whoever may write sees the session's id in the multipart upload that is open."""
    service = S3UploadsUnderTest(CloudedFiles(keeps_versions=keeps_versions), engine)
    upload_id = asyncio.run(service.send(DATA))
    assert isinstance(service.files, CloudedFiles)
    theirs = Version(NAME, "v0" if keeps_versions else "null", b"of others", {}, "")
    service.files.bucket.versions.append(theirs)
    recording, state = asyncio.run(service.complete(upload_id))
    assert (state, recording.aside) == (UploadState.COMPLETED, False)
    assert asyncio.run(service.complete(upload_id)) == (recording, state)
    assert bucket(service)[0] == theirs
    assert asyncio.run(service.record(DATA, who=OTHER_NODE)) == (recording, UploadState.REPEATED)
    another, state = asyncio.run(service.record(b"another", who=OTHER_NODE))
    assert state is UploadState.KEPT_ASIDE
    forget(service)
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    for known in (service, later):
        assert asyncio.run(known.recordings.find(SESSION)) == recording
        assert asyncio.run(known.recordings.find(SESSION, another.upload_id)) == another
        assert [asyncio.run(known.content(each)) for each in (recording, another)] == [DATA, b"another"]


@pytest.mark.parametrize("state", ["open", "kept_aside", "aborted"])
def test_an_upload_of_ours_has_the_sessions_name_and_is_the_recording_only_where_it_is_told_of_next(
    service: S3UploadsUnderTest, state: str
) -> None:
    """What was kept aside, as of a session whose recording was in another storage; or aborted, and completed by who
    administers the account, while the state was lost."""
    if state == "aborted":
        upload_id = asyncio.run(service.send(DATA))
        asyncio.run(service.uploads.abort(access(), upload_id))
        assert isinstance(service.files, CloudedFiles)
        service.files.bucket.versions.append(Version(NAME, "v0", DATA, {"upload": upload_id[:32]}, ""))
        forget(service)
    else:
        upload_id = asyncio.run(service.record(DATA))[0].upload_id
        with writing(service.engine).begin() as connection:
            connection.execute(delete(recordings))
            connection.execute(change(uploads).values(state=state))
    other, _ = asyncio.run(service.record(b"another", who=OTHER_NODE))
    assert other.aside == (state == "open")
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    found = asyncio.run(later.recordings.find(SESSION))
    assert found is not None
    assert found.upload_id == (upload_id if state == "open" else other.upload_id)
    assert asyncio.run(later.content(other)) == b"another"


@pytest.mark.parametrize("is_open", [False, True], ids=["all is lost", "an older state has them as open"])
def test_of_two_that_are_called_the_recording_where_the_state_was_lost_one_is_and_one_is_kept_aside(
    service: S3UploadsUnderTest, is_open: bool
) -> None:
    """Two that ended at once beside what others had put there, or one that others call so: that isn't proven."""
    assert isinstance(service.files, CloudedFiles)
    recording, _ = asyncio.run(service.record(DATA))
    aside, _ = asyncio.run(service.record(b"another", who=OTHER_NODE))
    versions = service.files.bucket.versions
    versions[:] = [replace(each, data=each.data.replace(b'"kind":"aside"', b'"kind":"recording"')) for each in versions]
    with writing(service.engine).begin() as connection:
        connection.execute(delete(recordings))
        connection.execute(change(uploads).values(state="open", ended_ms=None) if is_open else delete(uploads))
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    found = asyncio.run(later.recordings.find(SESSION))
    assert found in (recording, replace(aside, aside=False))
    for each, data in ((recording, DATA), (aside, b"another")):
        kept = asyncio.run(later.recordings.find(SESSION, each.upload_id))
        assert kept is not None
        assert kept.aside == (kept != found)
        assert asyncio.run(later.content(kept)) == data


def forget(service: S3UploadsUnderTest) -> None:
    """As if the state had lost all that it has of uploads."""
    with writing(service.engine).begin() as connection:
        for table in (recordings, uploads):
            connection.execute(delete(table))


@pytest.mark.parametrize("record", ["as it was", "of this session"])
def test_what_repeats_a_copy_that_others_made_of_another_sessions_recording_is_its_own_sessions(
    service: S3UploadsUnderTest, record: str
) -> None:
    """Nobody could read it as this session's recording, whatever its custody record says."""
    assert isinstance(service.files, CloudedFiles)
    versions = service.files.bucket.versions
    asyncio.run(service.record(DATA, session=OTHER_SESSION))
    for each in list(versions):
        data = each.data.replace(OTHER_SESSION.encode(), SESSION.encode()) if record != "as it was" else each.data
        versions.append(replace(each, key=each.key.replace(OTHER_SESSION, SESSION), data=data))
    recording, state = asyncio.run(service.record(DATA, who=OTHER_NODE))
    assert state is UploadState.COMPLETED
    assert asyncio.run(service.content(recording)) == DATA


@pytest.mark.parametrize("change", ["another session", "other bytes"])
def test_what_repeats_what_others_made_of_a_recording_that_the_state_lost_is_kept(
    service: S3UploadsUnderTest, change: str
) -> None:
    """A copy of another session's, with its custody record; or other bytes in the place of what was deleted."""
    assert isinstance(service.files, CloudedFiles)
    versions = service.files.bucket.versions
    session = OTHER_SESSION if change == "another session" else SESSION
    asyncio.run(service.record(DATA, session=session))
    forget(service)
    if change == "another session":
        versions += [replace(each, key=each.key.replace(session, SESSION)) for each in versions]
    else:
        versions[:] = [replace(each, data=DATA[:-1] + b"!") if each.key == NAME else each for each in versions]
    kept, state = asyncio.run(service.record(DATA, who=OTHER_NODE))
    assert state is (UploadState.COMPLETED if change == "another session" else UploadState.KEPT_ASIDE)
    assert asyncio.run(service.content(kept)) == DATA


def test_what_was_kept_aside_doesnt_become_the_recording_by_a_copy_of_its_custody_record(
    service: S3UploadsUnderTest,
) -> None:
    """Which has its proof, but for where it says that it is; under a name that comes before those of ours."""
    assert isinstance(service.files, CloudedFiles)
    recording, _ = asyncio.run(service.record(DATA))
    aside, _ = asyncio.run(service.record(b"another", who=OTHER_NODE))
    forget(service)
    name, record = UploadPlace(SESSION, aside.upload_id[:32]), b'"kind":"aside"'
    data = service.storage.custody(name, aside=True)
    assert data is not None
    assert record in data
    forged = Version(
        f"sessions/_custody/{SESSION}/{'0' * 32}.json", "v", data.replace(record, b'"kind":"recording"'), {}, ""
    )
    service.files.bucket.versions.append(forged)
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert asyncio.run(later.recordings.find(SESSION)) == recording
    assert asyncio.run(later.recordings.find(SESSION, aside.upload_id)) == aside


@pytest.mark.parametrize("code", ["InvalidObjectState", "AccessDenied"])
def test_what_of_others_cant_be_read_holds_up_neither_an_upload_nor_what_the_state_lost(
    service: S3UploadsUnderTest, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """Archived, or encrypted by a key of theirs, and first in S3's order."""
    asyncio.run(service.record(DATA, session=OTHER_SESSION))
    assert isinstance(service.files, CloudedFiles)
    theirs = f"sessions/_custody/{SESSION}/{'0' * 32}.json"
    service.files.bucket.versions[:0] = [
        Version(NAME, "v0", b"of others", {"upload": "0" * 32}, ""),
        Version(theirs, "v0", b"{}", {}, ""),
    ]
    get, head = MemoryS3._get_object, MemoryS3._head_object
    refusal = AwsError("s3:GetObject", Kind.DENIED if code == "AccessDenied" else Kind.REFUSED, code, status=403)

    def gets(self: MemoryS3, Key: str, **asked: Any) -> Any:  # noqa: N803
        if Key == theirs:
            raise refusal
        return get(self, Key, **asked)

    def heads(self: MemoryS3, VersionId: str = "", **asked: Any) -> Any:  # noqa: N803
        if VersionId == "v0" and "ChecksumMode" in asked:
            raise refusal
        return head(self, VersionId=VersionId, **asked)

    monkeypatch.setattr(MemoryS3, "_get_object", gets)
    monkeypatch.setattr(MemoryS3, "_head_object", heads)
    recording, state = asyncio.run(service.record(DATA))
    assert state is UploadState.COMPLETED
    assert asyncio.run(service.content(recording)) == DATA
    before = service.store.recordings_of([SESSION, OTHER_SESSION])
    forget(service)
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert later.store.recordings_of([SESSION, OTHER_SESSION]) == before
    later.s3.fails = lambda operation: refusal if operation == "get_object" else None
    with pytest.raises(AwsError):
        list(later.storage.custody_records())


@pytest.mark.parametrize("change", ["uploader", "version_id", "kind", "all"])
def test_a_custody_record_of_others_that_came_first_lets_nothing_be_complete(
    service: S3UploadsUnderTest, change: str
) -> None:
    """Whoever may write to the bucket sees the upload's key in the object, and may be faster than the record."""
    upload_id = asyncio.run(service.send(DATA))
    service.s3.fails = lambda operation: away(operation) if operation == "put_object" else None
    with pytest.raises(Unavailable):
        asyncio.run(service.complete(upload_id))
    service.s3.fails = lambda operation: None
    place = UploadPlace(SESSION, upload_id[:32])
    decided = service.storage.decided(place)
    (version,) = bucket(service)
    assert decided is not None
    stored = {"bucket": "bucket", "key": NAME, "kind": "recording", "version_id": version.version_id}
    record = orjson.loads(decided) | {"stored": stored}
    forged = {
        "uploader": record | {"uploader": {"kind": "user", "name": "mallory"}},
        "version_id": record | {"stored": stored | {"version_id": "planted"}},
        "kind": record | {"stored": stored | {"kind": "aborted"}},
        "all": {},
    }[change]
    assert isinstance(service.files, CloudedFiles)
    key = f"sessions/_custody/{SESSION}/{place.key}.json"
    service.files.bucket.versions.append(Version(key, "planted", orjson.dumps(forged), {}, ""))
    with pytest.raises(Unavailable, match="custody record"):
        asyncio.run(service.complete(upload_id))
    assert service.storage.read_upload(place, 0, 100) == DATA
    assert service.store.recording(SESSION) is None


@pytest.mark.parametrize("keeps_versions", [True, False], ids=["with versions", "since it keeps versions"])
def test_what_others_put_over_a_recording_later_is_not_read(engine: Engine, keeps_versions: bool) -> None:
    service = S3UploadsUnderTest(CloudedFiles(keeps_versions=keeps_versions), engine)
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    service.files.bucket.keeps_versions = True
    service.files.bucket.versions.append(Version(NAME, "forged", b"forged", {}, ""))
    assert asyncio.run(S3UploadsUnderTest(service.files, service.engine).content(recording)) == DATA


def test_custody_records_that_others_forge_or_put_over_count_for_nothing(
    service: S3UploadsUnderTest, caplog: pytest.LogCaptureFixture
) -> None:
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    versions = service.files.bucket.versions
    (real,) = [each for each in versions if "_custody" in each.key]
    versions.append(Version(real.key, "later", b"{}", {}, ""))
    key = "f" * 32
    forged = real.data.replace(recording.upload_id.encode(), f"{key}{'e' * 32}".encode())
    forged = forged.replace(SESSION.encode(), OTHER_SESSION.encode())
    versions.append(Version(f"sessions/_custody/{OTHER_SESSION}/{key}.json", "forged", forged, {}, ""))
    versions.append(Version(f"sessions/_custody/{OTHER_SESSION}/{'e' * 32}.json.json", "named so", real.data, {}, ""))
    assert service.storage.custody(UploadPlace(OTHER_SESSION, "e" * 32), aside=False) is None
    later = S3UploadsUnderTest(service.files, service.engine)
    asyncio.run(later.settling.look())
    assert asyncio.run(later.content(recording)) == DATA
    assert later.store.recordings_of([OTHER_SESSION]) == []
    (told,) = [each for each in caplog.records if each.msg == "custody records aren't believed"]
    assert vars(told)["fields"]["records"] == "2", "once, however many there are"


def test_a_multipart_upload_that_others_aborted_is_sent_again(service: S3UploadsUnderTest) -> None:
    upload_id = asyncio.run(service.send(DATA))
    assert isinstance(service.files, CloudedFiles)
    service.files.bucket.open.clear()
    asyncio.run(service.complete(upload_id))
    assert [each.data for each in bucket(service)] == [DATA]


def test_a_part_that_others_put_in_place_of_one_is_found_out_and_sent_again(service: S3UploadsUnderTest) -> None:
    """S3 has told of every part that it is there, and isn't asked again before it refuses to complete."""
    upload_id = asyncio.run(service.send(DATA))
    assert isinstance(service.files, CloudedFiles)
    (multipart,) = service.files.bucket.open.values()
    multipart.parts[2] = b"of others"
    with pytest.raises(Unavailable):
        asyncio.run(service.complete(upload_id))
    asyncio.run(service.complete(upload_id))
    assert [each.data for each in bucket(service)] == [DATA]


@pytest.mark.parametrize("is_open", [False, True], ids=["all is lost", "an older state has it as open"])
def test_a_custody_record_that_others_changed_is_not_believed_where_the_state_was_lost(
    service: S3UploadsUnderTest, is_open: bool
) -> None:
    """Whoever may delete versions can put another in its place, which has an upload id of ours."""
    recording, _ = asyncio.run(service.record(DATA))
    assert isinstance(service.files, CloudedFiles)
    with writing(service.engine).begin() as connection:
        connection.execute(delete(recordings))
        connection.execute(change(uploads).values(state="open", ended_ms=None) if is_open else delete(uploads))
    versions = service.files.bucket.versions
    at = next(number for number, each in enumerate(versions) if "_custody" in each.key)
    real = versions[at]
    versions[at] = replace(real, data=real.data.replace(b'"name":"node-1"', b'"name":"node-2"'))
    assert versions[at] != real
    odd = [replace(real, data=orjson.dumps(orjson.loads(real.data) | {"proof": proof})) for proof in ("é" * 64, 5)]
    for record, found in (*((each, None) for each in (versions[at], *odd)), (real, recording)):
        versions[at] = record
        later = S3UploadsUnderTest(service.files, service.engine)
        asyncio.run(later.settling.look())
        assert asyncio.run(later.recordings.find(SESSION)) == found
