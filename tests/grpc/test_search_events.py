"""SearchEvents, GetEvent and GetStatus over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.status_service_pb2 import GetStatusRequest
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from server.audit_log.receipts import Emitter, Receipt
from server.audit_log.search.query import (
    Cost,
    EventSelector,
    FoundEvent,
    Missing,
    MissingReason,
    SearchPage,
    SearchQuery,
    Watermark,
)
from server.errors import AuditStoreError, DeadlineExceeded, FailedPrecondition, InvalidRequest, NotFound, Violation
from server.grpc_api.server import Limits
from server.storage.query import Position
from tests.grpc.failures import all_of, failing
from tests.grpc.rig import serving
from tests.loops import faults, in_loop, until

MIB = 1024 * 1024
EMITTER = Emitter("component", "host-1", "anchor", "5e")
RECEIPT = Receipt("default", "log", 7, EMITTER, "ipv4:1.2.3.4:5", 1_500)
FOREIGN = Receipt("default", foreign_object="2026-11-01/x.parquet")


def found(data: bytes | None, *, user: str = "alice", size: int = 2) -> FoundEvent:
    return FoundEvent(Position(-1, "u-1", "d1"), "user.login", "s-1", user, size, data, (RECEIPT, FOREIGN))


def row(**fields: object) -> event_pb2.EventRow:
    identity = event_pb2.Identity(
        kind=event_pb2.IDENTITY_KIND_COMPONENT, name="host-1", trust_anchor="anchor", certificate_serial="5e"
    )
    receipt = event_pb2.Receipt(
        storage="default",
        log_id="log",
        sequence=7,
        emitter=identity,
        peer="ipv4:1.2.3.4:5",
        received_time=Timestamp(seconds=1, nanos=500_000_000),
    )
    expected = event_pb2.EventRow(
        json=b"{}",
        time=Timestamp(seconds=-1, nanos=999_000_000),
        type="user.login",
        uid="u-1",
        session_id="s-1",
        user="alice",
        digest="d1",
        receipts=[receipt, event_pb2.Receipt(storage="default", foreign_object="2026-11-01/x.parquet")],
        payload_size=2,
    )
    expected.MergeFrom(event_pb2.EventRow(**fields))  # type: ignore[arg-type]
    return expected


@in_loop
async def test_a_page_is_mapped_field_by_field() -> None:
    omitted = found(None, user="u" * 2000, size=9)
    missing = Missing(MissingReason.JOURNAL_HOLE, "default", "log", "lost", 3, 4)
    page = SearchPage(
        [found(b"{}"), omitted], "next", "scan", Cost(1, 2, 3, 4), Watermark({"log": 9}, 5), [missing], "q"
    )
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.page = page
        answer = await AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(users=["alice"]))
        access, query, _ = rig.searches.asked[0]
    omitted_row = row(user="u" * 1024, payload_omitted=True, payload_size=9)
    omitted_row.ClearField("json")
    part = query_pb.MissingPart(
        reason=query_pb.MISSING_REASON_JOURNAL_HOLE,
        storage="default",
        name="log",
        first_sequence=3,
        last_sequence=4,
        description="lost",
    )
    assert answer == pb.SearchEventsResponse(
        events=[row(), omitted_row],
        next_page_token="next",
        engine=pb.SEARCH_ENGINE_SCAN,
        cost=pb.SearchCost(objects=1, rows=2, bytes=3, journal_events=4),
        watermark=pb.Watermark(logs={"log": 9}, catalogue_revision=5),
        complete=False,
        missing=[part],
        query_id="q",
    )
    assert access.identity.name == "alice"
    assert isinstance(query, SearchQuery)
    assert query.filters.users == {"alice"}


def test_every_reason_for_missing_parts_and_every_engine_is_in_the_contract() -> None:
    names = {f"MISSING_REASON_{reason.value}" for reason in MissingReason} | {"MISSING_REASON_UNSPECIFIED"}
    assert names == set(query_pb.MissingReason.keys())


@in_loop
async def test_a_page_without_missing_parts_is_complete() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        answer = await AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest())
    assert answer.complete


@in_loop
async def test_a_wrong_search_is_refused_before_the_use_case() -> None:
    request = pb.SearchEventsRequest(page_size=-1, fields=[query_pb.FieldEquality()] * 16, text="ü" * 2000)
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await failing(AuditLogServiceStub(channel).SearchEvents(request))
        assert not rig.touched
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert {"text", "fields[0].path", "fields[15].value", "page_size"} <= set(failure.violations)


@in_loop
async def test_a_request_larger_than_any_query_is_refused() -> None:
    request = pb.SearchEventsRequest(session_id="s" * MIB)
    async with serving() as rig, rig.user("auditor") as channel:
        failure = await failing(AuditLogServiceStub(channel).SearchEvents(request))
        assert not rig.touched
    assert (failure.reason, failure.violations) == ("INVALID_REQUEST", ["request"])


@pytest.mark.parametrize(("client", "low", "high"), [(None, 70, 70), (600, 70, 70), (50, 5, 50.5)])
@in_loop
async def test_the_shorter_of_deadline_and_limit_is_the_use_cases_time(
    client: float | None, low: float, high: float
) -> None:
    async with serving(limits=Limits(search_seconds=70)) as rig, rig.user("auditor") as channel:
        rig.searches.found = found(b"{}"), b"{}"
        stub = AuditLogServiceStub(channel)
        await stub.SearchEvents(pb.SearchEventsRequest(), timeout=client)
        await all_of(stub.GetEvent(pb.GetEventRequest(uid="u"), timeout=client))
        for _, _, seconds in rig.searches.asked:
            assert seconds is not None
            assert low <= seconds <= high


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (DeadlineExceeded("too late"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (
            InvalidRequest([Violation("page_token", "not ours")], reason="INVALID_PAGE_TOKEN"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_PAGE_TOKEN",
        ),
        (
            FailedPrecondition("no", reason="ENGINE_UNAVAILABLE"),
            grpc.StatusCode.FAILED_PRECONDITION,
            "ENGINE_UNAVAILABLE",
        ),
    ],
)
@in_loop
async def test_errors_of_the_search_reach_the_caller(
    error: AuditStoreError, code: grpc.StatusCode, reason: str
) -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.fails = error
        failure = await failing(AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest()))
    assert (failure.code, failure.reason) == (code, reason)


@in_loop
async def test_a_deadline_that_passes_is_counted_as_such() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.hangs = True
        codes: list[str] = []
        # The client gives up at the same time, and on a busy machine the server may learn of that first.
        while "DEADLINE_EXCEEDED" not in codes:
            with pytest.raises(grpc.aio.AioRpcError):
                await AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(), timeout=0.2)
            codes = [record.code for record in rig.records.calls]
        assert set(codes) <= {"DEADLINE_EXCEEDED", "CANCELLED"}


@in_loop
async def test_a_cancelled_search_is_counted_as_cancelled() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.hangs = True
        call = AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(), timeout=60)
        await until(lambda: rig.searches.asked)
        call.cancel()
        await until(lambda: rig.records.calls)
        assert [record.code for record in rig.records.calls] == ["CANCELLED"]


@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 5 * MIB + 3])
@in_loop
async def test_an_event_is_streamed_as_its_row_and_then_its_json(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.found = found(data[:size], size=size), data[:size]
        first, *rest = await all_of(AuditLogServiceStub(channel).GetEvent(pb.GetEventRequest(uid="u-1")))
        assert rig.searches.asked[0][1] == EventSelector(uid="u-1")
    expected = row()
    expected.ClearField("json")
    expected.payload_size = size
    assert first == pb.GetEventResponse(event=expected)
    assert b"".join(part.chunk for part in rest) == data[:size]
    assert all(0 < len(part.chunk) <= MIB for part in rest)


@in_loop
async def test_an_event_that_is_not_there_is_named_as_a_missing_resource() -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.fails = NotFound("there is no such event")
        failure = await failing(all_of(AuditLogServiceStub(channel).GetEvent(pb.GetEventRequest(uid="u"))))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@in_loop
async def test_a_client_that_leaves_in_the_middle_of_an_event_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as rig, rig.user("auditor") as channel:
        rig.searches.found = found(None, size=64 * MIB), bytes(64 * MIB)
        # The server learns of it by a cancellation or by a write that fails, whichever comes first.
        for delay in range(20):
            call = AuditLogServiceStub(channel).GetEvent(pb.GetEventRequest(uid="u"))
            await call.read()
            await asyncio.sleep(delay / 2000)
            call.cancel()
        await until(lambda: len(rig.records.calls) == 20)
        assert {record.code for record in rig.records.calls} == {"CANCELLED"}
    assert not faults(caplog.records)


WATCHER = """
kind: role
version: v7
metadata: {name: watcher}
spec:
  allow:
    rules:
      - resources: [cluster_alert]
        verbs: [list]
"""


@pytest.mark.parametrize(("role", "shown"), [("editor", True), ("watcher", False)])
@in_loop
async def test_the_place_of_the_storage_is_shown_only_to_who_may_read_it(
    tmp_path: Path, role: str, shown: bool
) -> None:
    (tmp_path / "watcher.yaml").write_text(WATCHER)
    async with serving(roles=tmp_path) as rig, rig.user(role) as channel:
        answer = await StatusServiceStub(channel).GetStatus(GetStatusRequest())
        assert rig.status.shown == [shown]
    assert (answer.version, answer.start_time) == ("1", Timestamp(seconds=1, nanos=500_000_000))
