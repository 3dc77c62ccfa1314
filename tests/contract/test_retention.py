"""What a storage's owner has deleted after so many days: it leaves the answers, which say so, and nobody is alarmed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.audit_log.retention import expires_ms
from server.audit_log.search.query import EventSelector, MissingReason, SearchPage, SearchQuery
from server.audit_log.stored_batches import StoredBatches
from server.errors import NotFound
from server.storage.query import Filters
from server.storage.scan.engine import DuckScanEngine
from server.storage.value_tests import Operator, ValueTest
from tests.contract.bucket_rig import BucketRig, in_bucket
from tests.contract.foreign_files import write_as_teleport
from tests.contract.search_rig import ALICE, DAY_MS, NOON, event_json
from tests.sandbox.running import Sandbox

DAYS = 30


@pytest.fixture
def rig(tmp_path: Path, scan_engine: DuckScanEngine, aws: Sandbox) -> Iterator[BucketRig]:
    """A bucket whose owner has objects deleted after 30 days, and a batch of one event in it."""
    prefix = tmp_path.name
    opened = in_bucket(aws, prefix, retention_days=DAYS)
    rig = BucketRig(tmp_path, scan_engine, open_default=opened, now_ms=[0], client=aws.client("s3"), prefix=prefix)
    rig.now_ms[0] = time.time_ns() // 1_000_000
    rig.store(event_json("old"))
    yield rig
    rig.close()


def told(page: SearchPage) -> tuple[list[str], list[MissingReason]]:
    return [row.position.uid for row in page.rows], [item.reason for item in page.missing]


def ends_ms(rig: BucketRig) -> int:
    [batch] = rig.catalogue.batches()
    return expires_ms(batch.confirmed_ms, DAYS)


@pytest.mark.parametrize(
    ("stored", "days", "expected"),
    [
        ("2026-11-18 00:00:00", 1, "2026-11-20 00:00:00"),
        ("2026-11-18 23:59:59", 1, "2026-11-20 00:00:00"),
        ("2026-11-19 00:00:00", 1, "2026-11-21 00:00:00"),
        ("2026-12-31 10:30:00", 3, "2027-01-04 00:00:00"),
        ("2028-02-28 12:00:00", 1, "2028-03-01 00:00:00"),
    ],
)
def test_s3_lets_go_at_the_midnight_after_so_many_days(stored: str, days: int, expected: str) -> None:
    def ms(text: str) -> int:
        return int(time.mktime(time.strptime(f"{text} UTC", "%Y-%m-%d %H:%M:%S %Z")) - time.timezone) * 1000

    assert expires_ms(ms(stored), days) == ms(expected)


def test_a_batch_leaves_the_answers_when_its_time_has_come_and_ranges_that_reach_it_say_so(rig: BucketRig) -> None:
    rig.now_ms[0] = ends_ms(rig) - 1
    assert told(rig.page(SearchQuery())) == (["old"], [])
    [batch] = rig.catalogue.batches()
    by_place = EventSelector(batch.log_id, batch.first)
    assert rig.search.get(ALICE, by_place, time.monotonic() + 60).position.uid == "old"
    rig.now_ms[0] += 1
    page = rig.page(SearchQuery())
    assert told(page) == ([], [MissingReason.EXPIRED])
    assert page.missing[0].description.startswith("what was stored more than 30 days ago has expired")
    assert rig.page(SearchQuery(Filters(from_ms=NOON + 1))).complete, "nothing of these times has expired"
    for selector in (by_place, EventSelector(uid="old")):
        with pytest.raises(NotFound):
            rig.search.get(ALICE, selector, time.monotonic() + 60)
    rows = StoredBatches(rig.storages, rig.catalogue, retention=rig.retention).read(batch)
    assert [(each.reason, each.first_sequence, each.last_sequence) for each in rows.missing] == [
        (MissingReason.EXPIRED, 1, 1)
    ]
    assert len(rows.columns.sequences) == 0


def test_what_s3_deleted_in_its_time_alarms_nobody_and_before_it_does(rig: BucketRig) -> None:
    """S3 counts from when the object came, which is a little before its batch was confirmed."""
    write_as_teleport(rig.events_folder, "theirs", time_ms=NOON + 1)
    rig.mirror()
    rig.delete(name_of_ours(rig))
    for before_ms, uids, reasons, alerts in (
        (3 * DAY_MS, ["theirs", "old"], [MissingReason.OBJECT_MISSING], ["object-missing"]),
        (DAY_MS, ["theirs"], [MissingReason.EXPIRED], []),
        (0, ["theirs"], [MissingReason.EXPIRED], []),
    ):
        rig.now_ms[0] = ends_ms(rig) - before_ms
        assert told(rig.page(SearchQuery())) == (uids, reasons)
        assert [alert.id for alert in rig.alerts.listed()] == alerts


def name_of_ours(rig: BucketRig) -> str:
    return next(item.name for item in rig.catalogue.objects("default") if not item.is_foreign)


def test_whom_roles_show_some_events_isnt_told_when_there_were_others(rig: BucketRig) -> None:
    rig.now_ms[0] = ends_ms(rig) + 1000 * DAY_MS
    condition = ValueTest(("uid",), Operator.ONE_OF, ("none",), holds=True)
    oldest_kept = rig.now_ms[0] - DAYS * DAY_MS
    for from_ms, reasons in (
        (None, [MissingReason.EXPIRED]),
        (NOON - 5 * DAY_MS, [MissingReason.EXPIRED]),
        (NOON + 5 * DAY_MS, [MissingReason.EXPIRED]),
        (oldest_kept, []),
    ):
        assert told(rig.page(SearchQuery(Filters(from_ms=from_ms, condition=condition)))) == ([], reasons)
