"""How often a bucket is looked at for what others put there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.audit_log.search.query import SearchQuery
from server.storage.query import Filters
from tests.contract.bucket_rig import BucketRig
from tests.contract.foreign_files import write_as_teleport
from tests.contract.search_rig import DAY_MS, NOON, event_json
from tests.contract.test_foreign_in_buckets import (
    emptied,
    searching,
    stored,
)
from tests.sandbox.running import Sandbox


def test_a_cold_search_lists_each_date_once_and_gets_each_object_once_and_a_warm_one_asks_nothing(
    bucket: BucketRig, aws: Sandbox
) -> None:
    for day in range(3):
        bucket.store(event_json(f"day-{day}", NOON + day * DAY_MS), event_json(f"other-{day}", NOON + day * DAY_MS))
        bucket.store(event_json(f"more-{day}", NOON + day * DAY_MS))
    write_as_teleport(bucket.events_folder, "t1")
    bucket.mirror()
    rig = emptied(bucket)
    search = searching(rig)
    two_days = SearchQuery(Filters(NOON - 1000, NOON + DAY_MS + 1000))
    aws.clear_calls()
    with ThreadPoolExecutor(4) as threads:
        pages = list(threads.map(lambda _: rig.page(two_days, search=search), range(4)))
    assert [len(page.rows) for page in pages] == [7] * 4
    assert all(page.complete for page in pages)
    asked = Counter((call.action, call.resource) for call in aws.calls() if "/_batches/" not in call.resource)
    assert Counter(action for action, _ in asked) == {
        "s3:ListBucketVersions": 1,
        "s3:GetObject": 4,
        "s3:GetObjectVersion": 1,
    }, "beside records, which tell who emitted an event"
    assert sum(asked.values()) == 2 + 4 + 1, "two dates, four objects of ours and one of others, each once"
    aws.clear_calls()
    assert len(rig.page(two_days, search=search).rows) == 7
    assert aws.calls() == []
    rig.close()


def test_records_of_all_batches_of_a_page_are_on_their_way_before_any_of_them_is_waited_for(
    bucket: BucketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(bucket)
    begun: list[set[str]] = []
    read: list[str] = []
    begin, wait = bucket.storage.begin_records, bucket.storage.read_record

    def beginning(records: Mapping[str, str]) -> None:
        begun.append({*records})
        begin(records)

    def reading(name: str, digest: str = "") -> bytes | None:
        read.append(name)
        assert [name in records for records in begun] == [True]
        return wait(name, digest)

    monkeypatch.setattr(bucket.storage, "begin_records", beginning)
    monkeypatch.setattr(bucket.storage, "read_record", reading)
    of_types, of_emitters = Filters(types=frozenset({"user.login"})), frozenset({bucket.kept[0].emitter.name})
    for query in (SearchQuery(), SearchQuery(of_types), SearchQuery(emitters=of_emitters)):
        assert [row.position.uid for row in bucket.page(query, search=searching(bucket)).rows] == ["two", "one"]
        assert begun == [{*read}]
        assert len(read) == 2
        begun.clear()
        read.clear()


def test_looks_are_as_old_as_they_may_be_and_no_older(
    bucket: BucketRig, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A date long past is looked at less often than one of the last days; one that failed soon again."""
    ahead = 0.0
    begun = time.monotonic()
    monkeypatch.setattr("server.audit_log.bucket_looks.time.monotonic", lambda: begun + ahead)
    monkeypatch.setattr("server.audit_log.bucket_looks.time.time_ns", lambda: (NOON + DAY_MS) * 1_000_000)
    search = searching(bucket)

    def listings(day: int, seconds: float) -> int:
        nonlocal ahead
        ahead += seconds
        low = NOON - day * DAY_MS
        aws.clear_calls()
        bucket.page(SearchQuery(Filters(low, low + 1)), search=search)
        return len(aws.calls())

    assert [listings(0, seconds) for seconds in (0, 59, 2, 58)] == [1, 0, 1, 0]
    assert [listings(9, seconds) for seconds in (0, 599, 2)] == [1, 0, 1]
    aws.fail("s3:ListBucketVersions", "AccessDenied", status=403)
    assert [listings(1, seconds) for seconds in (0, 9, 2)] == [1, 0, 1]
