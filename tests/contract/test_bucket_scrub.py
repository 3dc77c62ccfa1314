"""The walk through a bucket: it finds what isn't as it was stored, mostly without fetching anything."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry

from server.audit_log.scrub import bucket_verification
from server.audit_log.scrub.bucket_verification import BucketVerification, can_read_events
from server.audit_log.scrub.known_damage import KnownDamage
from server.audit_log.scrub.whole_storage import WholeStorage
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.search.query import MissingReason, SearchQuery
from server.audit_log.storages import Storages
from server.audit_log.taken_names import TakenName, TakenNames
from server.config import Config, ScrubSection
from server.files import DiskFiles
from server.observability.alerts.alerts import QUIET_MS, Alerts
from server.observability.alerts.kinds import AlertKind
from server.observability.instruments import Instruments
from server.observability.scrub_metrics import ScrubMetrics
from server.recordings.storages import RecordingStorages
from server.scrub_assembly import StoredEvents, StoredRecordings, assemble_scrub
from server.state.diversions import Diversion
from server.state.outbox import Outbox
from server.state.storage_damage import SqlStorageDamage
from server.state.uploads import SqlUploads
from server.storage.aws.clients import ServiceClient
from server.storage.aws.place import Connection, Place
from server.storage.aws.stored_objects import loses_versions
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import StorageError
from server.storage.recording_port import RecordingStorage
from server.storage.spec import S3Location
from tests.contract.bucket_rig import BucketRig, versioned_bucket
from tests.contract.search_rig import DAY_MS, NOON, event_json
from tests.polling import until
from tests.sandbox.running import Sandbox

RECORDS = "_batches/"


class Walker:
    """Looks and checks as the walk does, and remembers what that cost."""

    def __init__(self, rig: BucketRig) -> None:
        self.verification = BucketVerification(
            rig.storage,
            rig.catalogue,
            rig.log.tail.pending,
            rig.search.foreign,
            rig.retention,
            KnownDamage(SqlStorageDamage(rig.database), "default", lambda name: True, lambda: 7),
            TakenNames(Outbox(rig.database), rig.alerts),
            lambda: None,
        )
        self.read = 0

    def walk(self) -> dict[str, str]:
        """What is wrong, by name."""
        for name in self.verification.look():
            self.verification.check(name, self._read)
        return {name: damage.kind for name, damage in self.verification.damage.items()}

    def _read(self, size: int) -> None:
        self.read += size


@pytest.fixture
def walker(bucket: BucketRig) -> Walker:
    for number in range(3):
        bucket.store(event_json(f"e{number}", NOON + number * DAY_MS))
    return Walker(bucket)


def objects(rig: BucketRig) -> list[str]:
    return sorted(item.name for item in rig.catalogue.objects("default") if not item.is_foreign)


def test_what_is_as_it_was_stored_costs_a_listing_for_each_date_and_a_look_for_each_object(
    walker: Walker, bucket: BucketRig, aws: Sandbox
) -> None:
    aws.clear_calls()
    assert walker.walk() == {}
    calls = [call for call in aws.calls() if RECORDS not in call.resource]
    assert Counter(call.operation for call in calls) == {
        "ListObjectsV2": 2,  # of the dates, and of the records
        "ListObjectVersions": 3,
        "HeadObject": 3,
    }
    assert walker.read < 3_000, "batch records alone are read"


def test_everything_that_others_did_is_found_once_and_forgotten_when_it_is_right_again(
    walker: Walker, bucket: BucketRig
) -> None:
    deleted, smaller, other = objects(bucket)
    record = RECORDS + bucket.catalogue.batches()[0].log_id + "/1-1.json"
    body = {name: bucket.client.get_object(**bucket.key(name))["Body"].read() for name in (smaller, other)}
    log_id = bucket.catalogue.batches()[0].log_id
    bucket.delete(deleted)
    bucket.delete(record)
    bucket.put(smaller, b"x")
    bucket.put(other, b"x" * len(body[other]))
    bucket.put(f"2026-11-18/{log_id}-7-9.parquet", body[other])
    bucket.put(f"{RECORDS}{log_id}/7-9.json", b"{}")
    bucket.put("2026-11-18/theirs.parquet", body[other])
    expected = {
        deleted: "missing",
        record: "missing",
        smaller: "changed",
        other: "changed",
        f"2026-11-18/{log_id}-7-9.parquet": "unlisted",
        f"{RECORDS}{log_id}/7-9.json": "unlisted",
    }
    assert walker.walk() == walker.walk() == expected
    assert {alert.id for alert in bucket.alerts.listed()} == {"object-missing", "object-changed"}
    again = Walker(bucket)
    again.verification.begin()
    assert again.walk() == expected, "a restart knows what was found"
    for name in (deleted, record):
        bucket.delete(name, bucket.versions(name)[0])
    for name in (smaller, other):
        bucket.put(name, body[name])  # without a SHA-256: all of it is read
    bucket.delete(f"2026-11-18/{log_id}-7-9.parquet")
    bucket.delete(f"{RECORDS}{log_id}/7-9.json")
    again.read = 0
    assert again.walk() == {}
    assert again.read > len(body[smaller]) + len(body[other])
    assert bucket.alerts.listed() == ()


def test_records_of_others_beyond_a_number_are_no_findings_and_those_that_are_stay(
    walker: Walker, bucket: BucketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, none beyond it is kept in memory, and none of ours is missed for them."""
    monkeypatch.setattr(bucket_verification, "MOST_OF_OTHERS", 2)
    log_id = bucket.catalogue.batches()[0].log_id
    planted = [f"{RECORDS}{log_id}/7-{last}.json" for last in (7, 8, 9)]
    for name in planted[1:]:
        bucket.put(name, b"{}")
    assert walker.walk() == dict.fromkeys(planted[1:], "unlisted")
    bucket.put(planted[0], b"{}")
    ours = f"{RECORDS}{log_id}/1-1.json"
    bucket.delete(ours)
    assert walker.walk() == {ours: "missing"} | dict.fromkeys(planted[1:], "unlisted")


def test_one_that_cant_be_looked_at_is_named_and_stops_none_and_several_in_a_row_are_none(
    walker: Walker, bucket: BucketRig, aws: Sandbox
) -> None:
    aws.fail("s3:GetObject", "AccessDenied", status=403)
    assert walker.walk() == {objects(bucket)[0]: "unreadable"}
    assert walker.walk() == {}
    aws.fail("s3:GetObject", "AccessDenied", status=403, times=6)
    assert walker.walk() == {}, "that is the bucket, and no object of it"
    aws.clear_faults()
    assert walker.walk() == {}


def test_what_expires_is_no_finding(walker: Walker, bucket: BucketRig, monkeypatch: pytest.MonkeyPatch) -> None:
    deleted, *_ = objects(bucket)
    bucket.delete(deleted)
    bucket.delete(RECORDS + bucket.catalogue.batches()[0].log_id + "/1-1.json")
    monkeypatch.setattr(bucket.storage, "retention_days", lambda: 1)
    assert walker.walk() == {}
    bucket.now_ms.append(bucket.catalogue.batches()[0].confirmed_ms + 9 * DAY_MS)
    aged = Walker(bucket)
    assert aged.verification.look() == []


def no_other(storage_id: str) -> RecordingStorage:
    raise StorageError("there is none")


def test_the_walk_of_the_service_has_the_events_of_every_bucket(bucket: BucketRig, tmp_path: Path) -> None:
    """Also of one that becomes known while it is under way."""
    for number in range(2):
        bucket.store(event_json(f"e{number}", NOON + number * DAY_MS))
    name, _ = objects(bucket)
    bucket.delete(name)
    folder = EmbeddedStorage(DiskFiles(), tmp_path / "events", "folder")
    damage, known = SqlStorageDamage(bucket.database), Storages(folder)
    now_ms = [0]
    alerts, metrics = Alerts(lambda: now_ms[0]), ScrubMetrics(Instruments(CollectorRegistry(), []))
    taken = TakenNames(Outbox(bucket.database), alerts)
    for storage in ("folder", "default"):
        taken.tell(TakenName(storage, "2026-11-18/a.parquet", "2026-11-18/a.r1.parquet"))
    digests = ObjectDigests(known)
    events = StoredEvents(known, bucket.catalogue, frozenset, digests, bucket.search.foreign, taken, lambda _: ())
    kept = RecordingStorages(EmbeddedRecordings(DiskFiles(), tmp_path / "recordings"), no_other, lambda: "default")
    recordings = StoredRecordings(kept, tuple, SqlUploads(bucket.database), alerts)
    config = replace(Config(data_dir=tmp_path), scrub=ScrubSection(period_seconds=0.2))
    scrub = assemble_scrub(config, events, recordings, damage, metrics, lambda: False, lambda: 8)
    thread = Thread(target=asyncio.run, args=[scrub.run()])
    thread.start()
    try:
        until(lambda: damage.walk().passed_ms)
        assert scrub.counts()["missing"] == 0
        assert [alert.storage_id for alert in alerts.listed()] == ["default"], "nothing has the other one's name"
        for _ in range(4):
            alerts.failed("default", AlertKind.EVENT_SEARCH, "no answer came")
        alerts.evaluate()
        now_ms[0] = QUIET_MS
        known.add(bucket.storage)
        until(lambda: scrub.counts()["missing"] == 1)
        until(lambda: not alerts.listed())
    finally:
        scrub.stop()
        thread.join(60)
        scrub.close()
    assert [(each.storage, each.name, each.kind) for each in damage.all()] == [("default", name, "missing")]


def test_an_alert_stands_as_long_as_the_buckets_versions_are_suspended(aws: Sandbox) -> None:
    versioned_bucket(aws, "suspended")
    alerts, client = Alerts(), aws.client("s3")
    where = Place(S3Location("suspended", "events"), aws.account_id)
    way = Connection(lambda: ServiceClient("s3", client), where)
    versions = WholeStorage("aws-1", lambda _: ["suspended"] if loses_versions(way) else [], {}, alerts)
    for status, raised in (("Enabled", []), ("Suspended", ["versions-suspended"]), ("Enabled", [])):
        client.put_bucket_versioning(Bucket="suspended", VersioningConfiguration={"Status": status})
        assert versions.look() == []
        assert [each.id for each in alerts.listed()] == raised


def test_what_nobody_searches_any_more_is_tried_so_that_its_alert_goes(
    walker: Walker, bucket: BucketRig, aws: Sandbox
) -> None:
    """Not by a listing alone, which may go well where nothing can be read, nor while searches fail."""
    now_ms = [0]
    alerts = Alerts(lambda: now_ms[0])
    reads = {AlertKind.EVENT_SEARCH: lambda: can_read_events(bucket.storage, bucket.catalogue)}
    whole = WholeStorage("default", lambda _: (), reads, alerts)
    for _ in range(4):
        alerts.failed("default", AlertKind.EVENT_SEARCH, "no answer came")
    alerts.evaluate()
    bucket.delete(objects(bucket)[-1])

    def stands_after_a_look(at_ms: int) -> bool:
        now_ms[0] = at_ms
        whole.look()
        return bool(alerts.listed())

    assert stands_after_a_look(QUIET_MS - 1)
    aws.fail("s3:GetObject", "AccessDenied", status=403)
    assert stands_after_a_look(QUIET_MS)
    aws.clear_faults()
    alerts.failed("default", AlertKind.EVENT_SEARCH, "no answer came")
    assert stands_after_a_look(QUIET_MS)
    assert not stands_after_a_look(2 * QUIET_MS), "one object that is gone isn't all of them"


def test_what_is_left_of_a_diverted_batch_is_neither_shown_nor_a_finding(walker: Walker, bucket: BucketRig) -> None:
    """Its events are in another storage: a late delivery would have them twice."""
    log_id = bucket.catalogue.batches()[0].log_id
    body = bucket.client.get_object(**bucket.key(objects(bucket)[0]))["Body"].read()
    bucket.put(f"2026-11-18/{log_id}-7-9.parquet", body)
    bucket.put(f"{RECORDS}{log_id}/7-9.json", b"{}")
    assert len(walker.walk()) == 2, "else this shows nothing"
    bucket.catalogue.diversions.restore(Diversion(log_id, 7, 9, "default", "elsewhere", 0, 0))
    assert walker.walk() == {}
    page = bucket.page(SearchQuery())
    assert [row.receipts[0].foreign_object for row in page.rows] == ["", "", ""]
    assert [item.reason for item in page.missing] == [MissingReason.OTHER_STORAGE], "which says where they are"
