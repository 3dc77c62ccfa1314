"""What the scrub finds wrong with recordings, on the machine's own disk and in buckets with versions and without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import Engine

from server.audit_log.retention import Kept
from server.audit_log.scrub.known_damage import KnownDamage
from server.audit_log.scrub.verification import Verification
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.taken_names import TakenNames
from server.audit_log.timestamps import DAY_MS
from server.files import DiskFiles
from server.observability.alerts.alerts import Alerts
from server.recordings import verification
from server.recordings.verification import RecordingVerification
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.state.outbox import Outbox
from server.state.storage_damage import SqlStorageDamage, is_recording
from server.storage.aws.errors import AwsError, Kind
from server.storage.ports import EventStorage
from tests.memory_s3 import CloudedFiles, Version
from tests.uploads_under_test import OTHER_NODE, OTHER_SESSION, SESSION, S3UploadsUnderTest, UploadsUnderTest

DATA = bytes(range(100))
RECORDING = f"recordings/{SESSION}.tar"


class Rig:
    """Uploads in a storage, with a recording and one kept aside, and what looks at them."""

    def __init__(self, service: UploadsUnderTest) -> None:
        self.service = service
        asyncio.run(service.record(DATA))
        aside, _ = asyncio.run(service.record(b"another", who=OTHER_NODE))
        self.aside = f"recordings/{SESSION}/{aside.upload_id[:32]}.tar"
        asyncio.run(service.send(b"open", session=OTHER_SESSION))
        self.alerts = Alerts()
        self.read = 0
        self.days_later, self.retention_days = 0, 0
        self.verification = self.again()

    def again(self) -> RecordingVerification:
        """As another start has it."""
        store = SqlStorageDamage(self.service.engine)
        known = KnownDamage(store, self.service.storage.storage_id, is_recording, lambda: 1)
        storage, rows, schedule = self.service.storage, self.service.store, self.service.schedule
        made = RecordingVerification(lambda: storage, self.kept, rows, known, self.alerts, schedule)
        made.begin()
        return made

    def kept(self) -> Kept:
        now_ms = self.service.now_ms + self.days_later * DAY_MS
        return Kept("aws-1", self.retention_days, now_ms, cast(Catalogue, None))

    def walk(self) -> dict[str, str]:
        """Look, check everything, look and check what is wrong, as the scrub does; gives what is wrong by name."""
        for _ in range(2):
            for name in self.verification.look():
                self.verification.check(name, self._count)
        return {name: each.kind for name, each in self.verification.damage.items()}

    def _count(self, size: int) -> None:
        self.read += size

    def told(self) -> int:
        """How many findings were told in audit events."""
        told = [item.data for item in Outbox(self.service.engine).first(1_000)]
        return sum(b"extaudit.storage.damage" in data for data in told)

    def raised(self) -> set[str]:
        return {each.id for each in self.alerts.listed()}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


def in_bucket(engine: Engine, *, keeps_versions: bool = True) -> Rig:
    return Rig(S3UploadsUnderTest(CloudedFiles(keeps_versions=keeps_versions), engine))


def on_disk(engine: Engine, tmp_path: Path) -> Rig:
    return Rig(UploadsUnderTest(DiskFiles(), engine, tmp_path / "recordings"))


def bucket_of(rig: Rig) -> list[Version]:
    assert isinstance(rig.service.files, CloudedFiles)
    return rig.service.files.bucket.versions


def change(rig: Rig, data: bytes, to: Callable[[Version], Version | None]) -> Callable[[], None]:
    """Change the object that has these bytes; gives what takes it back."""
    versions = bucket_of(rig)
    before = list(versions)
    versions[:] = [new for each in before if (new := to(each) if each.data == data else each) is not None]

    def undo() -> None:
        versions[:] = before

    return undo


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_in_a_bucket_checksums_tell_and_no_byte_of_a_recording_is_fetched(engine: Engine, keeps_versions: bool) -> None:
    rig = in_bucket(engine, keeps_versions=keeps_versions)
    assert rig.walk() == {}
    assert rig.read == 0
    assert rig.verification.look() == sorted([RECORDING, rig.aside])
    if keeps_versions:
        later = rig.service = S3UploadsUnderTest(rig.service.files, engine)
        rig.verification = rig.again()
        rig.verification.look()
        later.s3.asked.clear()
        rig.verification.check(RECORDING, lambda size: None)
        assert later.s3.asked == ["list_object_versions", "get_object", "head_object"], "as docs/cost.md says"
    undo = change(rig, DATA, lambda each: replace(each, data=DATA[:-1] + b"!", checksum="AAAA-7"))
    assert rig.walk() == {RECORDING: "changed"}
    assert rig.raised() == {"recording-changed"}
    undo()
    assert (rig.walk(), rig.raised(), rig.told()) == ({}, set(), 1)


def test_what_has_no_checksum_is_read_and_compared(engine: Engine) -> None:
    rig = in_bucket(engine, keeps_versions=False)
    undo = change(rig, DATA, lambda each: replace(each, data=bytes(100), checksum=""))
    assert rig.walk() == {RECORDING: "changed"}
    assert rig.read == 2 * 8, "no more than its first part, each time that it is looked at"
    undo()
    assert rig.walk() == {}


def test_what_is_gone_is_told_once_also_after_a_restart(engine: Engine) -> None:
    rig = in_bucket(engine)
    undo = change(rig, b"another", lambda each: None)
    assert rig.walk() == {rig.aside: "missing"}, "of the session's versions none has its size"
    undo()
    assert rig.walk() == {}
    bucket_of(rig)[:] = [each for each in bucket_of(rig) if "_custody" in each.key]
    assert rig.walk() == {RECORDING: "missing", rig.aside: "missing"}
    rig.verification = rig.again()
    assert rig.walk() == {RECORDING: "missing", rig.aside: "missing"}
    assert (rig.told(), rig.raised()) == (3, {"recording-missing"})
    storage = cast(EventStorage, SimpleNamespace(storage_id=rig.service.storage.storage_id))
    catalogue, digests, taken = cast(Catalogue, None), cast(ObjectDigests, None), cast(TakenNames, None)
    of_events = Verification(storage, catalogue, tuple, digests, SqlStorageDamage(engine), lambda: 1, taken)
    of_events.begin()
    assert of_events.damage == {}, "what looks at events takes none of it for its own"


def test_what_has_expired_is_no_finding_and_what_was_found_before_is_forgotten(engine: Engine) -> None:
    rig = in_bucket(engine)
    rig.retention_days, rig.days_later = 30, 29
    bucket_of(rig)[:] = [each for each in bucket_of(rig) if "_custody" in each.key]
    assert (set(rig.walk().values()), rig.raised()) == ({"missing"}, {"recording-missing"}), "its time isn't over"
    bucket_of(rig).clear()
    rig.days_later = 31
    assert (rig.walk(), rig.raised()) == ({}, set())


def test_what_is_archived_is_no_finding_and_has_an_alert_of_its_own_while_it_is(engine: Engine) -> None:
    rig = in_bucket(engine)
    assert isinstance(rig.service.files, CloudedFiles)
    bucket = rig.service.files.bucket
    bucket.archived = frozenset(each.key for each in bucket.versions)
    assert (rig.walk(), rig.raised()) == ({}, {"recording-archived"})
    assert rig.alerts.listed()[0].detail == f"{RECORDING}: is archived, and 1 others are like that"
    bucket.archived = frozenset()
    assert (rig.walk(), rig.raised()) == ({}, set())


def test_recordings_of_others_beyond_a_number_are_no_findings_and_those_that_are_stay(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, none beyond it is kept in memory, and none of ours is missed for them."""
    monkeypatch.setattr(verification, "MOST_OF_OTHERS", 2)
    rig = in_bucket(engine)
    planted = [f"{number}c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b99" for number in range(3)]
    put = [Version(f"sessions/{session}.tar", "v1", b"of others", {}, "") for session in planted]
    bucket_of(rig).extend(put[1:])
    told = {f"recordings/{session}.tar": "unlisted" for session in planted[1:]}
    assert rig.walk() == told
    bucket_of(rig).append(put[0])
    bucket_of(rig)[:] = [each for each in bucket_of(rig) if each.key != f"sessions/{SESSION}.tar"]
    assert rig.walk() == told | dict.fromkeys((RECORDING, rig.aside), "missing")


def test_a_delete_marker_is_told_while_it_lasts_though_the_version_is_there(engine: Engine) -> None:
    rig = in_bucket(engine)
    assert isinstance(rig.service.files, CloudedFiles)
    bucket = rig.service.files.bucket
    bucket.deleted = frozenset({f"sessions/{SESSION}.tar"})
    assert rig.walk() == dict.fromkeys((RECORDING, rig.aside), "missing")
    assert "was deleted" in rig.verification.damage[RECORDING].detail
    bucket.deleted = frozenset()
    assert (rig.walk(), rig.told(), rig.raised()) == ({}, 2, set())


def test_a_custody_record_that_is_lost_or_another_is_told(engine: Engine) -> None:
    rig = in_bucket(engine, keeps_versions=False)
    records = [each for each in bucket_of(rig) if "_custody" in each.key and b'"bytes":100' in each.data]
    undo = change(rig, records[0].data, lambda each: replace(each, data=b"{}"))
    assert rig.walk() == {RECORDING: "changed"}
    undo()
    assert rig.walk() == {}


def test_what_others_put_there_is_told_and_what_is_under_way_is_not(engine: Engine) -> None:
    rig = in_bucket(engine)
    bucket_of(rig).append(Version(f"sessions/{OTHER_SESSION}.tar", "v1", b"just being completed", {}, ""))
    assert rig.walk() == {}
    strange = "5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b99"
    bucket_of(rig).append(Version(f"sessions/{strange}.tar", "v1", b"of others", {}, ""))
    bucket_of(rig).append(Version(f"sessions/{SESSION}.tar", "v9", b"put over", {}, ""))
    assert rig.walk() == {f"recordings/{strange}.tar": "unlisted", f"{RECORDING} (versions)": "unlisted"}
    assert rig.raised() == set()
    del bucket_of(rig)[-2:]
    assert rig.walk() == {}


@pytest.mark.parametrize("keeps_versions", [True, False])
def test_what_others_put_under_a_recordings_name_is_told_and_ours_beside_it_is_as_it_was(
    engine: Engine, keeps_versions: bool
) -> None:
    service = S3UploadsUnderTest(CloudedFiles(keeps_versions=keeps_versions), engine)
    assert isinstance(service.files, CloudedFiles)
    service.files.bucket.put(Version(f"sessions/{SESSION}.tar", "v0", b"of others", {}, ""))
    rig = Rig(service)
    assert rig.walk() == {f"{RECORDING} (versions)": "unlisted"}
    undo = change(rig, DATA, lambda each: replace(each, data=DATA[:-1] + b"!", checksum="AAAA-7"))
    assert rig.walk() == {f"{RECORDING} (versions)": "unlisted", RECORDING: "changed"}
    undo()
    bucket_of(rig)[:] = [each for each in bucket_of(rig) if each.data != b"of others"]
    assert (rig.walk(), rig.raised()) == ({}, set())
    row = service.store.recording(SESSION)
    assert row is not None
    if keeps_versions:
        theirs = f"{SESSION}/{row.key}.tar"
        bucket_of(rig).append(Version(f"sessions/_asides/{theirs}", "v1", bytes(len(DATA)), {}, ""))
        assert rig.walk() == {f"recordings/{theirs}": "unlisted"}


def test_a_bucket_that_is_away_says_nothing_of_what_it_holds(engine: Engine) -> None:
    rig = in_bucket(engine)
    names = rig.verification.look()
    assert isinstance(rig.service, S3UploadsUnderTest)
    rig.service.s3.fails = lambda operation: AwsError("s3:GetObject", Kind.UNREACHABLE)
    for name in names:
        rig.verification.check(name, lambda size: None)
    assert rig.verification.damage == {}


def test_on_the_disk_every_byte_is_read_and_what_is_wrong_with_any_is_told(engine: Engine, tmp_path: Path) -> None:
    rig = on_disk(engine, tmp_path)
    assert rig.walk() == {}
    assert rig.read == 2 * (len(DATA) + len(b"another"))
    file = rig.service.folder / f"{SESSION}.tar"
    aside = next((rig.service.folder / "_asides" / SESSION).glob("*.tar"))
    stranger = rig.service.folder / f"{OTHER_SESSION[:-2]}99.tar"
    kept = aside.read_bytes()
    file.write_bytes(DATA[:50] + b"!" + DATA[51:])
    aside.unlink()
    stranger.write_bytes(b"of others")
    wanted = {RECORDING: "changed", rig.aside: "missing", f"recordings/{stranger.name}": "unlisted"}
    assert rig.walk() == wanted
    file.write_bytes(DATA)
    aside.write_bytes(kept)
    stranger.unlink()
    assert (rig.walk(), rig.told()) == ({}, 3)
