"""What others do in a bucket that keeps versions: nothing of it is silent, and nothing takes the service down."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from server.audit_log import bucket_dates
from server.audit_log.batch_rows import record_name_of
from server.audit_log.bucket_looks import Freshness
from server.audit_log.export.chunk import ChunkPage, ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.rebuilding import recall
from server.audit_log.search.outcomes import Outcomes
from server.audit_log.search.query import EventSelector, MissingReason, SearchPage, SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.audit_log.stored_batches import StoredBatches
from server.audit_log.timestamps import utc_date
from server.errors import FailedPrecondition, Unavailable
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.storage.aws import versions
from server.storage.aws.store import Store
from server.storage.ports import StorageError
from server.storage.query import Filters, Order
from server.storage.scan.engine import DuckScanEngine
from tests.contract.bucket_rig import BucketRig, in_bucket
from tests.contract.foreign_files import columns, write, write_as_teleport
from tests.contract.search_rig import CALLER, DAY_MS, NOON, PROOFS, TOKEN_KEY, event_json
from tests.contract.test_foreign_faults import NOT_EVENTS
from tests.contract.test_foreign_objects import NAMES, ODD
from tests.sandbox.running import Sandbox

DATE = utc_date(NOON)
MISSING, CHANGED = MissingReason.OBJECT_MISSING, MissingReason.OBJECT_CHANGED
UNREADABLE, ARCHIVED = MissingReason.OBJECT_UNREADABLE, MissingReason.OBJECT_ARCHIVED
THE_DAY = SearchQuery(Filters(NOON - DAY_MS // 2, NOON + DAY_MS // 2))


def uids(page: SearchPage) -> list[str]:
    return [row.position.uid for row in page.rows]


def missing(page: SearchPage | ChunkPage) -> list[tuple[MissingReason, str]]:
    return [(item.reason, item.name) for item in page.missing]


def stored(rig: BucketRig) -> str:
    """Two batches; gives the name of the object of the first."""
    rig.store(event_json("one"))
    rig.store(event_json("two", NOON + 1))
    return min(item.name for item in rig.catalogue.objects("default"))


def emptied(rig: BucketRig) -> BucketRig:
    """The same over a cache that has nothing."""
    new = rig.reopened()
    assert isinstance(new, BucketRig)
    return new


def test_what_is_deleted_is_told_and_still_read_and_the_alarm_ends_with_it(bucket: BucketRig) -> None:
    name = stored(bucket)
    assert (bucket.page(SearchQuery()).complete, bucket.alerts.listed()) == (True, ())
    bucket.delete(name)
    for rig in (bucket, emptied(bucket)):
        page = rig.page(SearchQuery())
        assert (uids(page), missing(page)) == (["two", "one"], [(MISSING, name)])
        [told] = page.missing
        assert told.description.startswith("it was deleted; ")
        [alert] = rig.alerts.listed()
        assert (alert.storage_id, alert.id) == ("default", "object-missing")
        assert alert.detail.startswith(f"{name}: it was deleted")
    assert rig.page(SearchQuery(Filters(from_ms=NOON + 1))).complete, "it isn't of these times"
    rig.delete(name, rig.versions(name)[0])
    assert (rig.page(SearchQuery()).complete, rig.alerts.listed()) == (True, ())
    rig.close()


def test_what_is_gone_for_good_is_told_and_shown_as_long_as_there_is_a_copy(bucket: BucketRig) -> None:
    name = stored(bucket)
    bucket.delete(name, bucket.versions(name)[0])
    page = bucket.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two", "one"], [(MISSING, name)])
    rig = emptied(bucket)
    page = rig.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two"], [(MISSING, name)])
    rig.close()


def test_an_object_that_has_an_alert_of_its_own_is_no_failure_of_searches(bucket: BucketRig, aws: Sandbox) -> None:
    """Nor of gets, exports and watches: who archived or removed it is what somebody has to find out; nothing fails."""
    name = stored(bucket)
    rig = emptied(bucket)
    outcomes = Outcomes(rig.alerts, has_own_alert=rig.search.foreign.has_alert)
    parts = rig.storages, rig.engine, rig.log.tail, rig.catalogue, PageTokens(TOKEN_KEY)
    search = Search(*parts, outcomes=outcomes, foreign=rig.search.foreign)
    batches, [batch] = StoredBatches(rig.storages, rig.catalogue, outcomes), rig.catalogue.batches()[:1]

    def read(times: int = 4) -> list[str]:
        for _ in range(times):
            rig.page(SearchQuery(), search=search)
            for selector in (EventSelector(uid="one"), EventSelector(log_id=batch.log_id, sequence=batch.first)):
                with suppress(Unavailable, FailedPrecondition):
                    search.get(CALLER, selector, time.monotonic() + 60)
            with suppress(StorageError):
                batches.read(batch)
        rig.alerts.evaluate()
        return sorted(alert.id for alert in rig.alerts.listed())

    aws.fail("s3:GetObject", "InternalError", status=500, times=1_000)
    assert read() == ["event-search"], "else this shows nothing"
    aws.clear_faults()
    rig.archive(name)
    assert read(8) == ["object-archived"], "and what was read all the same lets the other one end"
    assert read() == ["object-archived"]
    rig.delete(name, rig.versions(name)[0])
    assert read() == ["object-missing"]
    rig.close()


def test_who_emitted_events_is_read_from_the_batch_record_that_was_stored_though_others_hid_it(
    bucket: BucketRig,
) -> None:
    """The scrub tells of it. Without versions of it, and without a copy here, nothing says so any more."""
    stored(bucket)
    names = [f"_batches/{record_name_of(batch)}" for batch in bucket.catalogue.batches()]
    bucket.delete(names[0])
    bucket.put(names[1], b"{}")
    page = emptied(bucket).page(SearchQuery())
    assert page.complete
    assert [row.receipts[0].emitter for row in page.rows] == [kept.emitter for kept in reversed(bucket.kept)]


def test_names_that_others_took_and_gave_back_before_ours_came_hide_no_batch_record(
    bucket: BucketRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest versions are theirs then, and so is the newest. Neither from who asks for it nor from a lost state."""
    monkeypatch.setattr(versions, "_MOST_TRIED", 2)
    record = f"_batches/{bucket.log.journal.log_id}/1-1.json"
    for number in range(3):
        bucket.put(record, b"[%d]" % number)
    bucket.delete(record)
    stored(bucket)
    bucket.put(record, b"{}")
    rig = emptied(bucket)
    page = rig.page(SearchQuery())
    assert (page.complete, [row.receipts[0].emitter for row in page.rows]) == (
        True,
        [kept.emitter for kept in reversed(bucket.kept)],
    )
    engine = open_database(tmp_path / "lost.db")
    assert recall(rig.storage, Catalogue(engine), lambda *_: True, PROOFS).added == 2
    engine.dispose()
    rig.close()


@pytest.mark.parametrize(("same_size", "kept"), [(True, "STANDARD"), (False, "STANDARD"), (True, "GLACIER")])
def test_what_is_written_over_is_told_and_the_version_that_was_stored_is_read(
    bucket: BucketRig, same_size: bool, kept: str
) -> None:
    """Also where what others wrote is archived: nobody is told to restore that."""
    name = stored(bucket)
    ours = bucket.client.get_object(**bucket.key(name))["Body"].read()
    body = b"x" * len(ours) if same_size else b"other"
    bucket.client.put_object(**bucket.key(name), Body=body, StorageClass=kept)
    for rig in (bucket, emptied(bucket)):
        page = rig.page(SearchQuery())
        assert (uids(page), missing(page)) == (["two", "one"], [(CHANGED, name)])
        assert [(alert.storage_id, alert.id) for alert in rig.alerts.listed()] == [("default", "object-changed")]
    rig.put(name, ours)
    assert (rig.page(SearchQuery()).complete, rig.alerts.listed()) == (True, ()), "it is as it was stored again"
    rig.close()


def test_what_is_archived_is_named_as_such_and_read_where_it_was_restored_or_is_copied_here(bucket: BucketRig) -> None:
    name = stored(bucket)
    record = f"_batches/{next(bucket.storage.list_records())}"
    assert bucket.page(SearchQuery()).complete
    for each in (name, record):
        bucket.archive(each)
    page = bucket.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two", "one"], []), "both are copied here, and asked for no more"
    [alert] = bucket.alerts.listed()
    assert (alert.id, alert.detail) == ("object-archived", f"{name}: is archived")
    rig = emptied(bucket)
    page = rig.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two"], [(ARCHIVED, name)])
    assert "is archived, and can be read once it was restored" in page.missing[0].description
    batch = next(each for each in rig.catalogue.batches() if each.first == 1)
    for selector in (EventSelector(uid="one"), EventSelector(log_id=batch.log_id, sequence=1)):
        with pytest.raises(FailedPrecondition, match="is archived") as refused:
            rig.search.get(CALLER, selector, time.monotonic() + 60)
        assert refused.value.reason == "OBJECT_ARCHIVED"
    exported = StoredBatches(rig.storages, rig.catalogue).read(batch)
    assert [(each.reason, each.name) for each in exported.missing if each.first_sequence == 0] == [
        (ARCHIVED, name),
        (ARCHIVED, record_name_of(batch)),
    ]
    rig.restore(name)
    page = rig.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two", "one"], [(ARCHIVED, name)])
    assert page.missing[0].description.startswith("who emitted its events is in a batch record that is archived")
    rig.restore(record)
    assert rig.page(SearchQuery()).complete
    rig.close()


def test_a_batch_on_its_way_is_neither_foreign_nor_missing(bucket: BucketRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its objects are there before its record, and a listing may be older than the catalogue."""
    bucket.emit(event_json("ours"))
    bucket.cut()

    def not_now(*_: object) -> None:
        raise StorageError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(bucket.storage, "put_record", not_now)
        with pytest.raises(StorageError):
            bucket.deliver()
    page = bucket.page(SearchQuery())
    assert (uids(page), page.complete, page.rows[0].receipts[0].foreign_object) == (["ours"], True, "")
    like = f"{page.rows[0].receipts[0].log_id}-1-999.r7.parquet"
    copied = write(bucket.events_folder / DATE / like, columns(["like it"], NOON - 1))
    assert uids(bucket.page(SearchQuery())) == ["ours", "like it"], "named nearly like one of it, and none of it"
    copied.unlink()
    bucket.deliver()
    bucket.emit(event_json("later"))
    bucket.cut()
    listed = bucket.storage.list_versions

    def overtaken(date: str) -> object:
        found = listed(date)
        bucket.deliver()
        return found

    monkeypatch.setattr(bucket.storage, "list_versions", overtaken)
    page = bucket.page(SearchQuery())
    assert (sorted(uids(page)), page.complete) == (["later", "ours"], True)
    assert bucket.alerts.listed() == ()


def test_others_objects_are_found_whatever_their_name_and_form_and_in_folders_below(bucket: BucketRig) -> None:
    folder = bucket.events_folder / DATE
    names = [stem for stem in NAMES if "\n" not in stem]  # a key that the sandbox's server takes for another
    for number, stem in enumerate(names):
        write(folder / f"{stem}.parquet", columns([f"name {number}"], NOON + number))
    for number, (table, options) in enumerate(ODD.values()):
        write(folder / f"odd {number}.parquet", table, **options)
    write(folder / "below" / "x.parquet", columns(["below"]))
    expected = [f"name {number}" for number in range(len(names))] + ["x"] * len(ODD) + ["below"]
    found = [row for page in bucket.pages(SearchQuery(page_size=1000)) for row in page.rows]
    assert sorted({row.position.uid for row in found}) == sorted(set(expected))
    assert sum(len(row.receipts) for row in found) == len(expected)
    assert bucket.page(SearchQuery()).complete
    cached = {path for path in bucket.folder.parent.rglob("*.parquet") if bucket.events_folder not in path.parents}
    assert {path.parent.name for path in cached} == {"_others"}, "no name of others becomes a path"


def test_what_is_no_batch_is_named_and_the_rest_is_found(bucket: BucketRig) -> None:
    bucket.store(event_json("ours", NOON))
    write_as_teleport(bucket.events_folder, "t1")
    names = []
    for make in NOT_EVENTS:
        path = bucket.events_folder / DATE / f"{make.__name__}.parquet"
        if make.__name__ not in ("_directory", "_link", "_dangling", "_fifo"):
            make(path)
            names.append(f"{DATE}/{path.name}")
    bucket.put(f"{DATE}/empty.parquet", b"")
    bucket.put(f"{DATE}/notes.txt", b"of no batch")
    for order in Order:
        page = bucket.page(SearchQuery(order=order))
        assert sorted(uids(page)) == ["ours", "t1"]
        assert sorted(missing(page)) == sorted((UNREADABLE, name) for name in [*names, f"{DATE}/empty.parquet"])


def test_a_bucket_that_cant_be_listed_makes_answers_incomplete_and_hides_nothing_that_is_here(
    bucket: BucketRig, aws: Sandbox
) -> None:
    stored(bucket)
    write_as_teleport(bucket.events_folder, "t1")
    bucket.mirror()
    aws.fail("s3:ListBucketVersions", "AccessDenied", status=403, times=9)
    page = bucket.page(THE_DAY)
    assert (uids(page), missing(page)) == (["two", "one"], [(UNREADABLE, DATE)])
    assert "can't be told: s3:ListBucketVersions: AWS did not allow it" in page.missing[0].description
    page = bucket.page(SearchQuery())
    assert (uids(page), missing(page)) == (["two", "one"], [(UNREADABLE, DATE)])
    tail, refresh = bucket.log.tail, bucket.search.foreign.refresh
    listing = ChunkListing(bucket.storages, tail, bucket.catalogue, ChunkTokens(TOKEN_KEY), refresh)
    listed, told = (listing.page(CALLER, ChunkQuery(), sees_all=sees_all) for sees_all in (True, False))
    assert (listed.foreign_objects, missing(listed)) == (0, [(UNREADABLE, DATE)]), "it is too low, and says so"
    assert missing(told) == [(UNREADABLE, "")], "who sees some events only isn't told the dates"
    aws.clear_faults()
    assert bucket.page(THE_DAY).complete
    listed = listing.page(CALLER, ChunkQuery(), sees_all=True)
    assert (listed.foreign_objects, missing(listed)) == (1, [])


def test_more_or_larger_than_anyone_stores_is_named_and_not_fetched(
    bucket: BucketRig, aws: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(bucket)
    for number in range(4):
        write(bucket.events_folder / DATE / f"{number}.parquet", columns([f"t{number}"]))
    bucket.put(f"{DATE}/large.parquet", b"x" * 20_000)
    monkeypatch.setattr(bucket_dates, "MOST_FOREIGN_BYTES", 10_000)
    with monkeypatch.context() as patch:
        patch.setattr(bucket_dates, "MOST_FOREIGN", 2)
        page = bucket.page(THE_DAY)
        assert (sorted(uids(page)), missing(page)) == (["one", "t0", "t1", "two"], [(UNREADABLE, DATE)])
    aws.clear_calls()
    page = bucket.page(THE_DAY)
    assert missing(page) == [(UNREADABLE, f"{DATE}/large.parquet")]
    assert "larger than the 10000 bytes" in page.missing[0].description
    assert Counter(call.action for call in aws.calls()) == {"s3:ListBucketVersions": 1, "s3:GetObjectVersion": 2}
    monkeypatch.setattr(versions, "MOST_LISTED", 1)
    page = bucket.page(THE_DAY)
    assert (UNREADABLE, DATE) in missing(page)
    assert {"one", "two"} <= set(uids(page)), "what isn't listed isn't taken for gone"
    assert MISSING not in {item.reason for item in page.missing}


def test_what_there_is_no_time_to_read_is_named_and_the_next_search_goes_on(
    bucket: BucketRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_as_teleport(bucket.events_folder, "t1")
    search = searching(bucket)
    with monkeypatch.context() as patch:
        patch.setattr(bucket_dates, "DESCRIBING_SECONDS", -1.0)
        page = bucket.page(THE_DAY, search=search)
        assert (uids(page), missing(page)) == ([], [(UNREADABLE, f"{DATE}/{path.name}")])
        assert page.missing[0].description.endswith("no time to read it; the next search goes on")
    assert uids(bucket.page(THE_DAY, search=search)) == ["t1"]


def test_in_a_store_that_keeps_no_versions_what_others_do_is_found_as_well(
    tmp_path: Path, scan_engine: DuckScanEngine, aws: Sandbox
) -> None:
    client, name = aws.client("s3"), "no-versions"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": aws.region})
    opened = in_bucket(aws, "events", name, store=Store(needs_versions=False))
    rig = BucketRig(tmp_path, scan_engine, open_default=opened, client=client, prefix="events", name=name)
    deleted = stored(rig)
    changed = max(item.name for item in rig.catalogue.objects("default"))
    path = write_as_teleport(rig.events_folder, "t1")
    page = rig.page(SearchQuery())
    assert (sorted(uids(page)), page.complete) == (["one", "t1", "two"], True)
    assert rig.catalogue.object("default", f"{DATE}/{path.name}") is not None
    write(path, columns(["t2", "t3"]))
    rig.delete(deleted)
    rig.put(changed, b"other")
    page = rig.page(SearchQuery())
    assert sorted(uids(page)) == ["one", "t2", "t3", "two"], "as far as there are copies"
    assert set(missing(page)) == {(MISSING, deleted), (CHANGED, changed)}
    rig.close()


def searching(rig: BucketRig) -> Search:
    """A search whose looks last as long as they do in the service."""
    looks = ForeignLooks(rig.storages, rig.catalogue, rig.log.tail.pending, freshness=Freshness())
    return Search(rig.storages, rig.engine, rig.log.tail, rig.catalogue, PageTokens(TOKEN_KEY), foreign=looks)


def test_an_event_in_another_dates_folder_is_in_answers_that_look_there_and_in_no_other(bucket: BucketRig) -> None:
    """Whatever other searches came upon before: what one doesn't look at it can't know to be there still."""
    elsewhere = bucket.events_folder / utc_date(NOON + 3 * DAY_MS)
    path = write(elsewhere / "x.parquet", columns(["strayed"]))
    both = SearchQuery(Filters(NOON - DAY_MS, NOON + 4 * DAY_MS))
    for query, expected in ((THE_DAY, []), (SearchQuery(), ["strayed"]), (THE_DAY, []), (both, ["strayed"])):
        page = bucket.page(query)
        assert (uids(page), page.complete) == (expected, True)
    assert bucket.search.get(CALLER, EventSelector(uid="strayed"), time.monotonic() + 60).position.uid == "strayed"
    path.unlink()
    again = bucket.page(replace(THE_DAY, watermark=page.watermark))
    assert (uids(again), again.complete) == ([], True)
    gone = bucket.page(both)
    assert (uids(gone), gone.complete) == ([], True)
    assert bucket.page(replace(THE_DAY, watermark=page.watermark)).complete, "it was in no answer to this"
