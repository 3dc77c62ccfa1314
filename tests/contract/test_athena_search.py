"""Searches that ask Athena: when and why they do, at what cost, and that what fails there is told or done without."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from server.audit_log.search.query import MissingReason, SearchPage, SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.stored_batches import StoredBatches
from server.errors import AuditStoreError, DeadlineExceeded, FailedPrecondition, ResourceExhausted, Unavailable
from server.storage.finding import Finding, FindRequest, FoundObject
from server.storage.ports import StorageError, StoredObject
from server.storage.query import Filters, Order
from server.storage.value_tests import Operator, ValueTest
from tests.account_under_test import Account, table_input
from tests.contract.athena_rig import AWS, AthenaRig, athena_rig
from tests.contract.foreign_files import write_as_teleport
from tests.contract.search_rig import ALICE, DAY_MS, NOON, event_json

LOGINS = SearchQuery(Filters(types=frozenset({"login"})), storage=AWS, engine="athena")
AUTO = replace(LOGINS, engine="auto")
STORED = ["l3", "l2", "l1"]


@pytest.fixture(scope="module")
def rig(account_named: Callable[[str], Account], tmp_path_factory: pytest.TempPathFactory) -> Iterator[AthenaRig]:
    """Three days with a batch each: a login in each, and a batch of other events. Nothing in the tail."""
    with athena_rig(account_named("search"), tmp_path_factory.mktemp("athena")) as rig:
        for day in (1, 2, 3):
            time_ms = NOON - (3 - day) * DAY_MS
            rig.store(event_json(f"l{day}", time_ms, "login"), event_json(f"o{day}", time_ms + 1, "other"))
        rig.store(event_json("x", NOON, "other"))
        yield rig


@pytest.fixture(autouse=True)
def as_planned(rig: AthenaRig) -> Iterator[None]:
    yield
    rig.account.sandbox.hold_queries(False)
    rig.account.sandbox.clear_faults()
    set_table(rig)


def set_table(rig: AthenaRig, **parameters: str) -> None:
    """Describe the table as planned but for these parameters of the projection; what was known of it is old."""
    table = table_input(rig.account)
    table["Parameters"] |= {f"projection.event_date.{name}": value for name, value in parameters.items()}
    rig.account.admin("glue").update_table(DatabaseName=rig.account.spec.glue_database, TableInput=table)
    rig.clock[0] += 61.0


def page(rig: AthenaRig, query: SearchQuery, search: Search | None = None, seconds: float = 60.0) -> SearchPage:
    return (search or rig.search()).page(ALICE, query, time.monotonic() + seconds)


def uids(found: SearchPage) -> list[str]:
    return [row.position.uid for row in found.rows]


def refused(rig: AthenaRig, query: SearchQuery, seconds: float = 60.0, search: Search | None = None) -> AuditStoreError:
    with pytest.raises(AuditStoreError) as error:
        page(rig, query, search, seconds)
    return error.value


@pytest.mark.parametrize(
    ("query", "scan_bytes", "engine", "reason"),
    [
        (LOGINS, 1 << 40, "athena", "it was asked for"),
        (replace(LOGINS, engine="scan"), 0, "scan", "it was asked for"),
        (AUTO, 0, "athena", "the objects are more than are scanned"),
        (AUTO, 1 << 40, "scan", "the 3 objects have no more than 1099511627776 bytes"),
        (replace(AUTO, filters=Filters(to_ms=NOON)), 0, "scan", "nothing but time and emitters chooses"),
        (replace(AUTO, storage="default"), 0, "scan", "nothing else reads what is searched"),
    ],
)
def test_the_answer_says_which_engine_and_why(
    rig: AthenaRig, query: SearchQuery, scan_bytes: int, engine: str, reason: str
) -> None:
    found = page(rig, query, rig.search(scan_bytes=scan_bytes))
    assert (found.engine, found.complete) == (engine, True)
    assert reason in found.engine_reason
    assert found.cost.queries == (1 if engine == "athena" else 0)


@pytest.mark.parametrize("storage", ["default", "all"])
def test_a_storage_that_athena_cant_read_is_refused_before_anything_is_asked(rig: AthenaRig, storage: str) -> None:
    error = refused(rig, replace(LOGINS, storage=storage))
    assert isinstance(error, FailedPrecondition)
    assert (error.reason, error.metadata) == ("ENGINE_UNAVAILABLE", {"engine": "athena", "storage": "default"})


@pytest.mark.parametrize("order", Order)
def test_all_pages_of_a_search_cost_one_query_and_the_calls_are_those_allowed(rig: AthenaRig, order: Order) -> None:
    search, sandbox = rig.search(), rig.account.sandbox
    sandbox.clear_calls()
    pages = list(rig.log.pages(replace(LOGINS, order=order, page_size=1), search=search))
    assert [uids(each) for each in pages] == [[uid] for uid in sorted(STORED, reverse=order is Order.NEWEST_FIRST)]
    assert [each.cost.queries for each in pages] == [1, 0, 0]
    assert pages[0].cost.query_bytes > 0
    assert (rig.ended[-1].bytes, rig.ended[-1].how) == (pages[0].cost.query_bytes, "succeeded")
    asked = [call.action for call in sandbox.calls() if call.action.startswith("athena:")]
    allowed = {"athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults"}
    assert set(asked) == allowed
    assert len(asked) == rig.ended[-1].requests


def test_only_objects_with_a_match_are_read(rig: AthenaRig) -> None:
    found = page(rig, replace(LOGINS, filters=Filters(uids=frozenset({"l2"}))))
    assert (uids(found), found.cost.objects) == (["l2"], 1)


def test_a_caller_who_may_not_see_every_event_isnt_told_what_athena_read(rig: AthenaRig) -> None:
    condition = ValueTest(("uid",), Operator.ONE_OF, ("l1",), holds=True)
    found = page(rig, replace(LOGINS, filters=replace(LOGINS.filters, condition=condition)))
    assert (uids(found), found.engine, found.cost.query_bytes, found.cost.objects) == (["l1"], "athena", 0, 1)


def test_what_is_delivered_between_two_pages_comes_once(
    account_named: Callable[[str], Account], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It was in the tail when Athena was asked, so Athena didn't see it, and then it is an object."""
    with athena_rig(account_named("between"), tmp_path_factory.mktemp("athena")) as rig:
        kept = rig.store(event_json("a", NOON, "login"), event_json("b", NOON + 1, "login"))
        kept += rig.log.emit(event_json("c", NOON + 2, "login"), event_json("d", NOON - 1, "login"))
        search, query = rig.search(), replace(LOGINS, page_size=1)
        first = page(rig, query, search)
        rig.deliver()
        kept += rig.log.emit(event_json("late", NOON - 2, "login"))
        rest = list(rig.log.pages(replace(query, page_token=first.next_page_token), search=search))
        assert [uid for each in [first, *rest] for uid in uids(each)] == ["c", "b", "a", "d"]
        assert [each.cost.queries for each in [first, *rest]] == [1, 0, 0, 0]
        receipts = {row.position: set(row.receipts) for each in [first, *rest] for row in each.rows}
        assert receipts == {item.position: {item.receipt} for item in kept[:4]}


def test_rows_of_others_are_the_same_and_marked_whichever_engine_is_asked(
    account_named: Callable[[str], Account], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As Teleport writes them."""
    folder = tmp_path_factory.mktemp("athena")
    with athena_rig(account_named("foreign"), folder) as rig:
        rig.store(event_json("ours", NOON, "user.login"), event_json("other", NOON, "other"))
        path = write_as_teleport(folder / "theirs", "t1", "t2")
        rig.account.admin("s3").put_object(**rig.key(f"{path.parent.name}/{path.name}"), Body=path.read_bytes())
        query = replace(LOGINS, filters=Filters(types=frozenset({"user.login"})))
        found = [page(rig, replace(query, engine=engine)) for engine in ("scan", "athena")]
        assert [each.engine for each in found] == ["scan", "athena"]
        assert found[0].rows == found[1].rows
        marked = {row.position.uid: bool(row.receipts[0].foreign_object) for row in found[1].rows}
        assert marked == {"ours": False, "t1": True, "t2": True}
        assert all(each.complete for each in found)


def test_an_object_that_is_gone_is_missed_though_nothing_in_it_would_match(rig: AthenaRig) -> None:
    item = next(each for each in rig.log.catalogue.objects(AWS) if each.rows == 1)
    query = replace(LOGINS, filters=Filters(uids=frozenset({"l1", "l3"})))
    assert page(rig, query).complete
    s3 = rig.account.admin("s3")
    body = s3.get_object(**rig.key(item.name))["Body"].read()
    s3.delete_object(**rig.key(item.name))
    try:
        found = page(rig, query)
        assert (uids(found), found.complete) == (["l3", "l1"], False)
        assert [(each.reason, each.name) for each in found.missing] == [(MissingReason.OBJECT_MISSING, item.name)]
        other = next(each for each in rig.log.catalogue.objects(AWS) if each.date == "2026-11-17")
        others_body = s3.get_object(**rig.key(other.name))["Body"].read()
        s3.put_object(**rig.key(item.name), Body=others_body)
        found = page(rig, query)
        assert (MissingReason.OBJECT_CHANGED, item.name) in [(each.reason, each.name) for each in found.missing]
    finally:
        s3.put_object(**rig.key(item.name), Body=body)


def test_what_others_hide_by_a_key_of_theirs_is_read_from_below_and_stops_nothing_else(
    rig: AthenaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = next(each for each in rig.log.catalogue.objects(AWS) if each.rows == 1)
    batch = rig.log.catalogue.batch(item.log_id, item.first)
    assert batch is not None
    s3, key = rig.account.admin("s3"), rig.account.admin("kms").create_key()["KeyMetadata"]["Arn"]
    body = s3.get_object(**rig.key(item.name))["Body"].read()
    theirs = {"Body": b"x" * item.bytes, "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}
    s3.put_object(**rig.key(item.name), **theirs)
    batches = StoredBatches(rig.log.storages, rig.log.catalogue)
    try:
        rig.storage.forget_copies()
        found = page(rig, replace(LOGINS, filters=Filters(uids=frozenset({"x", "l1"})), engine="scan"))
        assert uids(found) == ["x", "l1"]
        assert [(each.reason, each.name) for each in found.missing] == [(MissingReason.OBJECT_CHANGED, item.name)]
        rig.storage.forget_copies()
        assert not batches.read(batch).missing
        rig.storage.forget_copies()
        monkeypatch.setitem(rig.storage._in_vain, item.name, math.inf)  # as if ours were gone
        told = [(each.reason, each.name) for each in batches.read(batch).missing]
        assert (MissingReason.OBJECT_UNREADABLE, item.name) in told
    finally:
        s3.put_object(**rig.key(item.name), Body=body)


@pytest.mark.parametrize("change", [{"revision": 2**62}, {"is_of_parts": True}, {"problem": "is archived"}], ids=str)
def test_what_athena_may_have_read_otherwise_than_it_was_stored_is_scanned(
    rig: AthenaRig, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """Others wrote an object anew, with as many bytes and without the event; in parts, which may have been begun when
    it was stored; or it is archived, which Athena passes over in silence."""
    (item,) = (each for each in rig.log.catalogue.objects(AWS) if each.date == "2026-11-17")

    class Deceived:
        def find(self, request: FindRequest, deadline: float) -> Finding:
            found = rig.finder.find(request, deadline)
            return replace(found, objects=tuple(each for each in found.objects if each.name != item.name))

    assert uids(page(rig, LOGINS, rig.search(finder=Deceived()))) == ["l3", "l1"], "else this shows nothing"
    listed = rig.storage.list_date

    def changed(date: str) -> list[StoredObject]:
        return [replace(each, **change) if each.name == item.name else each for each in listed(date)]

    monkeypatch.setattr(rig.storage, "list_date", changed)
    found = page(rig, LOGINS, rig.search(finder=Deceived()))
    assert (uids(found), found.engine, found.complete) == (STORED, "athena", True)


def test_where_it_cant_be_told_whether_objects_are_there_the_answer_says_so(
    rig: AthenaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(date: str) -> list[StoredObject]:
        raise StorageError("S3 is away")

    monkeypatch.setattr(rig.storage, "list_date", fails)
    found = page(rig, replace(LOGINS, filters=Filters(uids=frozenset({"l3"}))))
    assert (uids(found), found.complete) == (["l3"], False)
    assert {each.name for each in found.missing} == {"2026-11-16", "2026-11-17", "2026-11-18"}
    assert {each.reason for each in found.missing} == {MissingReason.OBJECT_UNREADABLE}


def test_dates_that_the_table_doesnt_have_are_named_and_scan_reads_them(rig: AthenaRig) -> None:
    set_table(rig, range="2026-11-18,NOW+2DAYS")
    found = page(rig, LOGINS)
    assert (uids(found), found.complete) == (["l3"], False)
    [part] = found.missing
    assert (part.reason, part.storage, part.name) == (MissingReason.OUTSIDE_TABLE, AWS, "2026-11-16 to 2026-11-17")
    assert "2 dates lie outside" in part.description
    assert uids(page(rig, replace(LOGINS, engine="scan"))) == STORED


def drift(rig: AthenaRig) -> None:
    set_table(rig, interval="2")


def lost_table(rig: AthenaRig) -> None:
    account = rig.account
    account.admin("glue").delete_table(DatabaseName=account.spec.glue_database, Name=account.spec.glue_table)
    rig.clock[0] += 61.0


def failing(rig: AthenaRig) -> None:
    rig.account.sandbox.fail("athena:Query", "EXCEEDED_LOCAL_MEMORY_LIMIT", times=2)


def denied(rig: AthenaRig) -> None:
    rig.account.sandbox.fail("athena:StartQueryExecution", "AccessDeniedException", times=2)


LONG = replace(LOGINS, filters=Filters(types=frozenset({"login", "x" * 1100})))


@pytest.mark.parametrize(
    ("spoil", "query", "kind", "words"),
    [
        (drift, LOGINS, FailedPrecondition, "the table isn't as planned: projection.event_date.interval"),
        (lambda rig: None, LONG, FailedPrecondition, "a type is longer than Athena takes in a parameter"),
        (failing, LOGINS, Unavailable, "Athena's query failed"),
        (denied, LOGINS, Unavailable, "athena:StartQueryExecution: AWS did not allow it"),
    ],
)
def test_where_athena_cant_answer_it_is_refused_by_name_and_auto_scans_and_says_so(
    rig: AthenaRig, spoil: Callable[[AthenaRig], None], query: SearchQuery, kind: type[AuditStoreError], words: str
) -> None:
    spoil(rig)
    error = refused(rig, query)
    assert isinstance(error, kind)
    assert words in error.message
    assert error.metadata == {"engine": "athena", "storage": AWS}
    if kind is FailedPrecondition:
        assert error.reason == "ENGINE_UNAVAILABLE"
    found = page(rig, replace(query, engine="auto"))
    assert (uids(found), found.engine, found.complete) == (STORED, "scan", True)
    assert found.engine_reason.startswith("athena is passed over: ")
    assert words in found.engine_reason


def test_a_query_that_takes_too_long_is_told_and_auto_goes_on_without_it(
    rig: AthenaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.audit_log.search.narrowing._AUTO_SHARE", 0.01)
    rig.account.sandbox.hold_queries(True)
    error = refused(rig, LOGINS, seconds=0.6)
    assert isinstance(error, DeadlineExceeded)
    found = page(rig, AUTO, seconds=60)
    assert (uids(found), found.engine_reason) == (STORED, "athena is passed over: it gave no answer in time")
    rig.account.sandbox.hold_queries(False)


def test_a_file_of_others_that_is_no_parquet_spoils_athena_alone(rig: AthenaRig) -> None:
    s3, key = rig.account.admin("s3"), rig.key("2026-11-18/of-others.parquet")
    s3.put_object(**key, Body=b"no Parquet")
    try:
        assert "HIVE_BAD_DATA" in refused(rig, LOGINS).message
        assert uids(page(rig, AUTO)) == STORED
    finally:
        s3.delete_object(**key)


def test_whoever_has_used_up_the_budget_is_told_when_there_is_more_and_auto_scans(
    account_named: Callable[[str], Account], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with athena_rig(account_named("budget"), tmp_path_factory.mktemp("athena"), budget=1) as rig:
        rig.store(event_json("a", NOON, "login"))
        assert uids(page(rig, LOGINS)) == ["a"]
        error = refused(rig, LOGINS)
        assert isinstance(error, ResourceExhausted)
        assert error.reason == "QUERY_BUDGET_SPENT"
        assert 3500 < error.retry_after <= 3600
        found = page(rig, AUTO)
        assert (uids(found), found.engine) == (["a"], "scan")
        assert len(rig.ended) == 1, "no query is begun that the budget doesn't allow"


class Untrue:
    """An engine that names an object that isn't there, and one that holds nothing of what is asked for."""

    def __init__(self, name: str) -> None:
        self._names = ("2026-11-18/none.parquet", name)

    def find(self, request: FindRequest, deadline: float) -> Finding:
        objects = tuple(FoundObject(name, NOON, NOON, 1) for name in self._names)
        return Finding(objects, "0001-01-01", "9999-12-31", 0, 1)


def test_rows_come_from_the_objects_and_from_nowhere_else(rig: AthenaRig) -> None:
    """What an engine says can leave out an object, and never put a row into an answer."""
    item = next(each for each in rig.log.catalogue.objects(AWS) if each.rows == 1)
    found = page(rig, replace(LOGINS, filters=Filters(uids=frozenset({"l1"}))), rig.search(finder=Untrue(item.name)))
    assert (found.rows, found.cost.objects) == ([], 1)
