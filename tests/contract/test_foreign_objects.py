"""Files that others put into the storage: each is found by the next search or is named, and none is in the way."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from rbac.identities import IdentityKind
from server.audit_log.search.query import MissingReason, SearchPage, SearchQuery
from server.audit_log.timestamps import utc_date
from server.storage.ports import StorageError
from server.storage.query import Filters, Order
from tests.contract.foreign_files import columns, write, write_as_teleport
from tests.contract.search_rig import DAY_MS, NOON, SearchRig, event_json

DATE = utc_date(NOON)
CHANGED, UNREADABLE = MissingReason.OBJECT_CHANGED, MissingReason.OBJECT_UNREADABLE


def _uids(page: SearchPage) -> list[str]:
    return [row.position.uid for row in page.rows]


def _missing(page: SearchPage) -> set[tuple[MissingReason, str]]:
    return {(item.reason, item.name) for item in page.missing}


def test_a_file_as_teleport_writes_it_is_found_by_the_next_search_and_marked(either: SearchRig) -> None:
    either.store(event_json("ours", NOON + 1))
    assert either.found() == ["ours"]
    path = write_as_teleport(either.events_folder, "t1", "t2", "t3")
    page = either.page(SearchQuery())
    assert (sorted(_uids(page)), page.complete) == (["ours", "t1", "t2", "t3"], True)
    name = f"{DATE}/{path.name}"
    assert {row.receipts[0].foreign_object for row in page.rows} == {"", name}
    assert (
        either.page(SearchQuery(Filters(uids=frozenset({"t2"})))).rows[0].data
        == b'{"event": "user.login", "uid": "t2"}'
    )


def test_foreign_rows_pass_every_filter_but_those_of_emitters(either: SearchRig) -> None:
    either.store(event_json("ours", NOON + 10))
    write_as_teleport(either.events_folder, "t1")
    for filters in (Filters(to_ms=NOON + 1), Filters(users=frozenset({"ann"})), Filters(text='"T1"')):
        assert either.found(SearchQuery(filters)) == ["t1"]
    for query in (
        SearchQuery(emitters=frozenset({"alice", ""})),
        SearchQuery(emitter_kinds=frozenset(IdentityKind)),
    ):
        page = either.page(query)
        assert (_uids(page), page.complete) == (["ours"], True)


def test_a_row_that_is_ours_and_foreign_is_one_row(either: SearchRig) -> None:
    write_as_teleport(either.events_folder, "t1")
    table = columns(["u1"])
    table["event_data"] = pa.array([event_json("u1").decode()])
    write(either.events_folder / DATE / "copy.parquet", table)
    either.store(event_json("u1"))
    [row] = either.page(SearchQuery(Filters(uids=frozenset({"u1"})))).rows
    assert {receipt.foreign_object for receipt in row.receipts} == {"", f"{DATE}/copy.parquet"}


def test_the_watermark_counts_foreign_files_by_revision(either: SearchRig) -> None:
    write_as_teleport(either.events_folder, "t1")
    first = either.page(SearchQuery())
    either.store(event_json("ours"))
    write_as_teleport(either.events_folder, "t2")
    assert either.found(SearchQuery(watermark=first.watermark)) == ["t1"]
    assert sorted(either.found()) == ["ours", "t1", "t2"]
    reopened = either.reopened()
    assert reopened.found(SearchQuery(watermark=first.watermark)) == ["t1"]
    assert sorted(reopened.found()) == ["ours", "t1", "t2"]


def test_a_file_that_comes_between_two_pages_is_not_in_the_walk(either: SearchRig) -> None:
    write_as_teleport(either.events_folder, "t1", "t2", "t3")
    found = []
    for page in either.pages(SearchQuery(page_size=1)):
        found += _uids(page)
        write_as_teleport(either.events_folder, "later", time_ms=NOON - 1)
    assert found == ["t3", "t2", "t1"]


def test_what_is_removed_is_gone_from_the_next_search_and_nothing_is_missing(either: SearchRig) -> None:
    path = write_as_teleport(either.events_folder, "t1")
    write_as_teleport(either.events_folder, "t2")
    write_as_teleport(either.events_folder, "old", time_ms=NOON - 9 * DAY_MS)
    assert len(either.found()) == 3
    path.unlink()
    shutil.rmtree(either.events_folder / utc_date(NOON - 9 * DAY_MS))
    page = either.page(SearchQuery())
    assert (_uids(page), page.complete) == (["t2"], True)


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_what_was_counted_and_is_gone_between_two_pages_is_named(either: SearchRig, change: str) -> None:
    path = write_as_teleport(either.events_folder, "t1", "t2")
    write_as_teleport(either.events_folder, "later", time_ms=NOON + DAY_MS)
    query = SearchQuery(page_size=1)
    first = either.page(query)
    assert (_uids(first), first.complete) == (["later"], True)
    if change == "removed":
        path.unlink()
    else:
        write(path, columns(["t1", "t2", "t3"]))
    name = f"{DATE}/{path.name}"
    second = either.page(replace(query, page_token=first.next_page_token))
    again = either.page(SearchQuery(watermark=first.watermark))
    for page, uids in ((second, []), (again, ["later"])):
        assert (_uids(page), _missing(page), page.complete) == (uids, {(CHANGED, name)}, False)
    assert either.page(SearchQuery()).complete
    new = either.page(SearchQuery(Filters(from_ms=NOON + DAY_MS), watermark=first.watermark))
    assert new.complete, "an object of other times is not missed"


def test_a_removal_is_not_news_to_a_watermark_from_after_it(either: SearchRig) -> None:
    path = write_as_teleport(either.events_folder, "t1")
    assert either.found() == ["t1"]
    path.unlink()
    after = either.page(SearchQuery())
    write_as_teleport(either.events_folder, "t2")
    assert either.found() == ["t2"]
    page = either.page(SearchQuery(watermark=after.watermark))
    assert (_uids(page), page.complete) == ([], True)


def test_what_is_replaced_is_read_anew_even_when_it_is_as_long(either: SearchRig) -> None:
    path = write(either.events_folder / DATE / "x.parquet", columns(["aaa"]))
    assert either.found() == ["aaa"]
    write(path, columns(["bbb"], NOON + 5000))
    assert either.found(SearchQuery(Filters(from_ms=NOON + 5000))) == ["bbb"]
    assert either.found() == ["bbb"]


def test_a_file_that_is_as_it_was_stays_in_the_walks_that_counted_it(rig: SearchRig) -> None:
    path = write_as_teleport(rig.events_folder, "t1")
    watermark = rig.page(SearchQuery()).watermark
    os.chmod(path, 0o640)
    rig.page(SearchQuery())
    assert rig.found(SearchQuery(watermark=watermark)) == ["t1"]


def _age(rig: SearchRig, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time_ns
    monkeypatch.setattr("server.audit_log.foreign.time.time_ns", lambda: real() + seconds * 10**9)


def test_a_file_that_is_still_being_copied_is_named_and_found_once_it_is_whole(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_as_teleport(rig.folder / "elsewhere", "t1").read_bytes()
    path = rig.events_folder / DATE / "copied.parquet"
    path.parent.mkdir(parents=True)
    for content in (b"", whole[:100], whole[:-1]):
        path.write_bytes(content)
        assert _missing(rig.page(SearchQuery())) == {(UNREADABLE, f"{DATE}/copied.parquet")}
    _age(rig, 3600, monkeypatch)  # the folder's own time says nothing of what is written into its files
    assert not rig.page(SearchQuery()).complete
    path.write_bytes(whole)
    page = rig.page(SearchQuery())
    assert (_uids(page), page.complete) == (["t1"], True)


def test_a_file_that_is_written_to_again_is_read_anew_though_its_folder_does_not_change(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = rig.folder / "elsewhere"
    contents = [
        write(elsewhere / uid, columns([uid], time_ms)).read_bytes() for uid, time_ms in (("aaa", NOON), ("bbb", 0))
    ]
    path = rig.events_folder / DATE / "x.parquet"
    path.parent.mkdir(parents=True)
    deadline = time.monotonic() + 60
    path.write_bytes(contents[0])
    while path.stat().st_ctime_ns <= path.parent.stat().st_ctime_ns:  # the clock of files has a grain
        assert time.monotonic() < deadline
        path.write_bytes(contents[0])
    now = path.stat().st_ctime_ns + 2_000_000_000
    monkeypatch.setattr("server.audit_log.foreign.time.time_ns", lambda: now)
    assert rig.found() == ["aaa"]
    path.write_bytes(contents[1])
    os.utime(path, (NOON / 1000, NOON / 1000))  # the engine's cache of footers tells times apart by seconds
    assert rig.found(SearchQuery(Filters(to_ms=1))) == ["bbb"]


def test_a_folder_whose_time_was_set_back_is_looked_into_all_the_same(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_as_teleport(rig.events_folder, "t1").parent
    os.utime(folder, (NOON / 1000, NOON / 1000))
    _age(rig, 3600, monkeypatch)
    assert rig.found() == ["t1"]
    write_as_teleport(rig.events_folder, "t2")
    os.utime(folder, (NOON / 1000, NOON / 1000))
    assert sorted(rig.found()) == ["t1", "t2"]


def test_a_folder_that_has_not_changed_is_not_read_again(rig: SearchRig, monkeypatch: pytest.MonkeyPatch) -> None:
    write_as_teleport(rig.events_folder, "t1")
    _age(rig, 3600, monkeypatch)
    listed: list[str] = []
    real = rig.storage.list_date
    monkeypatch.setattr(rig.storage, "list_date", lambda date: listed.append(date) or real(date))
    rig.found()
    rig.found()
    assert listed == [DATE]


def _stamps(*values: int, unit: str = "us", zone: str | None = "UTC") -> Any:
    return pa.array(values, pa.timestamp(unit, zone))


ODD = {
    "no statistics": (columns(["x"]), {"write_statistics": False}),
    "microseconds": (columns(["x"]) | {"event_time": _stamps(NOON * 1000 + 999)}, {}),
    "odd nanoseconds": (columns(["x"]) | {"event_time": _stamps(NOON * 10**6 + 7, unit="ns")}, {}),
    "int96": (columns(["x"]), {"use_deprecated_int96_timestamps": True}),
    "odd nanoseconds as int96": (
        columns(["x"]) | {"event_time": _stamps(NOON * 10**6 + 7, unit="ns")},
        {"use_deprecated_int96_timestamps": True},
    ),
    "no zone": (columns(["x"]) | {"event_time": _stamps(NOON * 1000, zone=None)}, {}),
    "times as text": (
        columns(["x"]) | {"event_time": pa.array([datetime.fromtimestamp(NOON / 1000, UTC).isoformat()])},
        {},
    ),
    "before 1970": (columns(["x"], -86_400_001), {"write_statistics": False}),
    "another date's folder": (columns(["x"], NOON - 40 * DAY_MS), {}),
    "many row groups": (columns(["x"]), {"row_group_size": 1}),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_are_found_whatever_else_there_is(rig: SearchRig, kind: str) -> None:
    table, options = ODD[kind]
    write(rig.events_folder / DATE / "x.parquet", table, **options)
    for number in range(20):  # more than one window of time
        write_as_teleport(rig.events_folder, f"t{number}", time_ms=NOON + 1000 * (number - 10))
    for order in Order:
        found = [uid for page in rig.pages(SearchQuery(order=order)) for uid in _uids(page)]
        assert sorted(found) == sorted(["x", *(f"t{number}" for number in range(20))])
    assert rig.page(SearchQuery()).complete


@pytest.mark.parametrize("column", ["uid", "event_time", "event_data"])
@pytest.mark.parametrize("statistics", [True, False])
def test_rows_without_uid_time_or_json_are_named_and_the_others_found(
    rig: SearchRig, column: str, statistics: bool
) -> None:
    table = columns(["a", "b", "c"])
    values = table[column].to_pylist()
    table[column] = pa.array([values[0], None, values[2]], table[column].type)
    write(rig.events_folder / DATE / "x.parquet", table, write_statistics=statistics)
    page = rig.page(SearchQuery())
    assert (_uids(page), _missing(page)) == (["c", "a"], {(MissingReason.ROWS_UNREADABLE, f"{DATE}/x.parquet")})


def test_columns_of_less_weight_may_lack_values(rig: SearchRig) -> None:
    lacking = {name: pa.array([None], pa.string()) for name in ("event_type", "session_id", "user")}
    write(rig.events_folder / DATE / "x.parquet", columns(["x"]) | lacking)
    page = rig.page(SearchQuery())
    assert [(row.type, row.session_id, row.user) for row in page.rows] == [("", "", "")]
    assert page.complete


NAMES = [
    "a*b",
    "a?b",
    "[ab]",
    "{a,b}",
    "a\\b",
    "a*b?",
    "a'b",
    'a"b',
    "a b",
    "é",
    "$HOME",
    "a\nb",
    ".hidden",
    "%2e",
    "-",
]


@pytest.mark.parametrize("stem", NAMES)
def test_a_file_is_found_whatever_its_name(rig: SearchRig, stem: str) -> None:
    path = write(rig.events_folder / DATE / f"{stem}.parquet", columns(["x"]))
    write(path.with_name("ab.parquet"), columns(["y"]))
    page = rig.page(SearchQuery())
    assert (sorted(_uids(page)), page.missing) == (["x", "y"], [])


def test_a_name_with_a_backslash_and_a_sign_of_patterns_is_beyond_the_engine_and_is_named(rig: SearchRig) -> None:
    write(rig.events_folder / DATE / "a\\*b.parquet", columns(["x"]))
    write_as_teleport(rig.events_folder, "t1")
    page = rig.page(SearchQuery())
    assert (_uids(page), _missing(page)) == (["t1"], {(UNREADABLE, f"{DATE}/a\\*b.parquet")})


def test_a_name_that_is_not_utf8_is_named_in_escapes(rig: SearchRig) -> None:
    path = write(rig.events_folder / DATE / "x.parquet", columns(["x"]))
    os.rename(path, os.fsencode(path.parent) + b"/\xff.parquet")
    write_as_teleport(rig.events_folder, "t1")
    page = rig.page(SearchQuery())
    assert (_uids(page), _missing(page)) == (["t1"], {(UNREADABLE, f"{DATE}/\\xff.parquet")})


def test_a_file_with_the_name_of_a_batch_of_ours_is_foreign(either: SearchRig) -> None:
    [kept] = either.store(event_json("ours"))
    log_id = kept.receipt.log_id
    write(either.events_folder / DATE / f"{log_id}-7-9.parquet", columns(["x"]))
    rows = {row.position.uid: row.receipts[0].foreign_object for row in either.page(SearchQuery()).rows}
    assert rows == {"ours": "", "x": f"{DATE}/{log_id}-7-9.parquet"}


def _not_now(*_: object) -> None:
    raise StorageError("not now")


def test_a_file_that_takes_the_name_of_a_batch_on_its_way_is_found_once_that_is_confirmed(
    rig: SearchRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    [kept] = rig.emit(event_json("ours"))
    name = f"{kept.receipt.log_id}-1-1.parquet"
    write(rig.events_folder / DATE / name, columns(["x"]))
    _age(rig, 3600, monkeypatch)
    rig.cut()
    with monkeypatch.context() as patch:
        patch.setattr(rig.storage, "put_record", _not_now)
        with pytest.raises(StorageError):
            rig.deliver()
    assert rig.found() == ["ours"]
    rig.deliver()
    rows = {row.position.uid: row.receipts[0].foreign_object for row in rig.page(SearchQuery()).rows}
    assert rows == {"ours": "", "x": f"{DATE}/{name}"}
    assert [path.name for path in rig.objects()] == sorted([name, name.replace(".parquet", ".r1.parquet")])


def test_a_file_in_the_place_of_a_date_is_no_date(rig: SearchRig) -> None:
    rig.store(event_json("ours"))
    (rig.events_folder / "2026-01-01").write_bytes(b"")
    page = rig.page(SearchQuery())
    assert (_uids(page), page.complete) == (["ours"], True)
