"""Who can write to a bucket puts more there than anyone would: what that holds up is theirs, and all is said."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.audit_log import bucket_dates, bucket_looks
from server.audit_log.bucket_dates import BucketDates
from server.audit_log.bucket_looks import Freshness
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.retention import Retention
from server.audit_log.search import gaps
from server.audit_log.search.outcomes import Outcomes
from server.audit_log.search.query import SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.audit_log.storages import Storages
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.storage.aws import versions
from server.storage.ports import StorageTimeout, VersionListing, Wanted
from tests.contract.bucket_rig import BucketRig
from tests.contract.foreign_files import columns, write, write_as_teleport
from tests.contract.search_rig import CALLER, DAY_MS, NOON, TOKEN_KEY, SearchRig
from tests.contract.test_foreign_in_buckets import (
    CHANGED,
    DATE,
    MISSING,
    THE_DAY,
    UNREADABLE,
    emptied,
    missing,
    searching,
    stored,
)
from tests.polling import until
from tests.sandbox.running import Sandbox


def test_what_there_is_no_time_to_read_is_not_fetched_behind_everybodys_back(
    bucket: BucketRig, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects of ours would wait behind it."""
    for number in range(3):
        write(bucket.events_folder / DATE / f"{number}.parquet", columns([f"t{number}"]))
    bucket.mirror()
    monkeypatch.setattr(bucket_dates, "DESCRIBING_SECONDS", -1.0)
    aws.clear_calls()
    assert len(bucket.page(THE_DAY).missing) == 3
    assert [call.action for call in aws.calls()] == ["s3:ListBucketVersions"]


def test_no_more_is_fetched_at_once_than_there_is_room_for(bucket: BucketRig, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        write(bucket.events_folder / DATE / f"{number}.parquet", columns([f"t{number}"]))
    size = (bucket.events_folder / DATE / "0.parquet").stat().st_size
    local, asked = bucket.storage.local, []

    def noted(objects: Sequence[Wanted], deadline: float | None = None) -> Any:
        asked.append(len(objects))
        return local(objects, deadline)

    bucket.mirror()
    monkeypatch.setattr(bucket_dates, "AT_ONCE_BYTES", 2 * size)
    monkeypatch.setattr(bucket.storage, "local", noted)
    retention = Retention(bucket.storages, bucket.catalogue)
    assert BucketDates(bucket.storage, bucket.catalogue, bucket.log.tail.pending, retention).look(DATE).is_finished
    assert asked == [2, 2]


def test_what_cant_be_read_for_good_is_not_asked_for_by_every_search(bucket: BucketRig, aws: Sandbox) -> None:
    """As an object that others encrypted with a key of theirs."""
    write_as_teleport(bucket.events_folder, "t1")
    search = searching(bucket)
    aws.fail("s3:GetObjectVersion", "AccessDenied", status=403, times=9)
    assert [reason for reason, _ in missing(bucket.page(THE_DAY, search=search))] == [UNREADABLE]
    aws.clear_calls()
    assert [reason for reason, _ in missing(bucket.page(THE_DAY, search=search))] == [UNREADABLE]
    assert aws.calls() == []


def test_an_alarm_stands_while_more_is_put_there_than_is_listed(
    bucket: BucketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stored(bucket)
    bucket.delete(name)
    assert not bucket.page(THE_DAY).complete
    monkeypatch.setattr(versions, "MOST_LISTED", 0)
    page = bucket.page(THE_DAY)
    assert (missing(page), [each.id for each in bucket.alerts.listed()]) == ([(UNREADABLE, DATE)], ["object-missing"])
    monkeypatch.undo()
    bucket.delete(name, bucket.versions(name)[0])
    assert (bucket.page(THE_DAY).complete, bucket.alerts.listed()) == (True, ())


def test_more_dates_than_are_looked_at_are_told(bucket: BucketRig, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(bucket)
    for year in (1000, 2000):
        bucket.put(f"{year}-01-01/x.parquet", b"")
    monkeypatch.setattr(bucket_looks, "MOST_DATES", 2)
    page = bucket.page(SearchQuery())
    assert missing(page) == [(UNREADABLE, ""), (UNREADABLE, "2000-01-01/x.parquet")]
    assert page.missing[0].description == "there are 3 dates; at those up to 1000-01-01 nobody has looked"


def test_an_answer_names_so_many_objects_of_others_as_it_has_room_for_and_all_of_ours(
    bucket: BucketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stored(bucket)
    bucket.delete(name)
    for number in range(4):
        bucket.put(f"{DATE}/{number}.parquet", b"")
    monkeypatch.setattr(gaps, "MOST_OF_OTHERS", 2)
    page = bucket.page(THE_DAY)
    assert missing(page) == [
        (MISSING, name),
        (UNREADABLE, f"{DATE}/0.parquet"),
        (UNREADABLE, f"{DATE}/1.parquet"),
        (UNREADABLE, ""),
    ]
    assert page.missing[-1].description.startswith("2 objects more that others have put there aren't read")
    assert {each.id for each in bucket.alerts.listed()} == {"object-missing"}


def test_an_object_of_parts_in_the_place_of_ours_is_compared_whatever_its_time(bucket: BucketRig) -> None:
    name = stored(bucket)
    where, ours = bucket.key(name), bucket.versions(name)[0]
    size = len(bucket.client.get_object(**where)["Body"].read())
    upload = bucket.client.create_multipart_upload(**where)["UploadId"]
    part = bucket.client.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x" * size)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    bucket.client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)
    bucket.delete(name, ours)
    assert missing(bucket.page(THE_DAY)) == [(CHANGED, name)]


def counted(rig: SearchRig, alerts: Alerts, seconds: float = 0.0) -> Search:
    """A search that counts for the alerts; each takes so many seconds by their clock."""
    looks = ForeignLooks(rig.storages, rig.catalogue, rig.log.tail.pending, freshness=Freshness(0, 0))
    outcomes = Outcomes(alerts, itertools.count(0.0, seconds).__next__)
    tokens = PageTokens(TOKEN_KEY)
    return Search(rig.storages, rig.engine, rig.log.tail, rig.catalogue, tokens, outcomes=outcomes, foreign=looks)


def test_what_others_removed_since_it_was_counted_is_no_failure_of_the_storage(either: SearchRig) -> None:
    """Whoever goes on with what an earlier answer counted would else raise its alert."""
    alerts = Alerts()
    search = counted(either, alerts)
    path = write_as_teleport(either.events_folder, "t1")
    watermark = either.page(THE_DAY, search=search).watermark
    path.unlink()
    for _ in range(4):
        page = either.page(replace(THE_DAY, watermark=watermark), search=search)
        assert [reason for reason, _ in missing(page)] == [CHANGED]
    alerts.evaluate()
    assert alerts.listed() == ()


@pytest.mark.parametrize(("seconds", "raised"), [(0.1, []), (10.0, ["event-search"])])
def test_a_look_that_a_hurried_caller_didnt_wait_for_is_no_failure_and_no_success(
    bucket: BucketRig, monkeypatch: pytest.MonkeyPatch, seconds: float, raised: list[str]
) -> None:
    stored(bucket)
    go, alerts = threading.Event(), Alerts()
    monkeypatch.setattr(bucket.storage, "list_versions", lambda date: go.wait(60))
    monkeypatch.setattr("server.audit_log.bucket_looks._MOST_SECONDS", 0.1)
    search = counted(bucket, alerts, seconds)
    for _ in range(4):
        assert missing(search.page(CALLER, THE_DAY, time.monotonic() + 60)) == [(UNREADABLE, DATE)]
    go.set()
    tally = alerts._tallies.get(("default", AlertKind.EVENT_SEARCH))
    assert tally is None or not tally.successes
    alerts.evaluate()
    assert [each.id for each in alerts.listed()] == raised


class _Listed:
    """A storage of which only the listing of versions matters; a mock, since what hangs is to hang until it is told."""

    keeps_versions = True

    def __init__(self, storage_id: str, go: threading.Event) -> None:
        self.storage_id, self._go = storage_id, go

    def list_versions(self, date: str) -> VersionListing:
        self._go.wait(60)
        return VersionListing({}, is_whole=True)


def test_a_storage_that_hangs_keeps_no_other_from_being_looked_at(rig: SearchRig) -> None:
    hangs, answers = threading.Event(), threading.Event()
    answers.set()
    storages: Any = [_Listed("hangs", hangs), _Listed("well", answers)]
    looks = ForeignLooks(Storages(*storages, active="well"), rig.catalogue, rig.log.tail.pending)
    month = 30 * DAY_MS
    try:
        assert len(looks.refresh(NOON, NOON + month, ["hangs"], time.monotonic() + 0.1).gaps) == 31
        assert looks.refresh(NOON, NOON + month, ["well"], time.monotonic() + 60).gaps == []
    finally:
        hangs.set()


def test_a_stop_waits_for_no_look_that_hasnt_begun(rig: SearchRig) -> None:
    """A search of years asks for thousands."""
    hangs = threading.Event()
    storage: Any = _Listed("hangs", hangs)
    listed: list[str] = []
    storage.list_versions = lambda date: listed.append(date) or hangs.wait(60)
    looks = ForeignLooks(Storages(storage, active="hangs"), rig.catalogue, rig.log.tail.pending)
    try:
        assert len(looks.refresh(NOON, NOON + 30 * DAY_MS, None, time.monotonic() + 0.2).gaps) == 31
        looks.close()
    finally:
        hangs.set()
    for threads in looks._threads:
        threads.shutdown(wait=True)
    assert len(listed) <= 16


def test_searches_of_what_may_have_to_be_listed_run_where_nothing_on_this_machine_waits(
    bucket: BucketRig, tmp_path: Path
) -> None:
    """Also where no other engine reads the storage."""
    assert bucket.search.may_wait("default")
    assert not SearchRig(tmp_path / "embedded", bucket.engine).search.may_wait("default")


class _Hangs:
    """A storage whose objects don't come before another's; a mock, since what hangs is to hang until it is told."""

    storage_id = "hangs"

    def __init__(self, others: Callable[[], object]) -> None:
        self._others = others

    @contextmanager
    def local(self, objects: Sequence[Wanted], deadline: float) -> Iterator[dict[str, StorageTimeout]]:
        if deadline:  # else it is only asked to begin
            until(self._others)
        yield {item.name: StorageTimeout() for item in objects}


def test_objects_of_a_storage_that_answers_are_had_beside_one_that_hangs(bucket: BucketRig) -> None:
    """Else the one that answers would count as late, and raise an alert."""
    stored(bucket)
    rig = emptied(bucket)
    cache = rig.storage._cache  # type: ignore[attr-defined]
    hangs: Any = _Hangs(lambda: cache.bytes)
    storages = Storages(hangs, rig.storage)
    ours = rig.catalogue.objects("default")[0]
    theirs = replace(ours, storage="hangs")
    with storages.local([theirs, ours], time.monotonic() + 100) as found:
        assert [type(found[item.key]) for item in (theirs, ours)] == [StorageTimeout, str]
    rig.close()
