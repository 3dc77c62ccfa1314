"""What the trace of a read tells: who, what, how much, and whether anything was missing."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.export.chunk import Chunk, ChunkId, ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.search.query import (
    Cost,
    EventFilter,
    EventSelector,
    FoundEvent,
    Missing,
    MissingReason,
    SearchPage,
    SearchQuery,
    Watermark,
)
from server.audit_log.service_log import MAX_FILTER_BYTES, ServiceLog
from server.errors import InvalidRequest, ResourceExhausted, Unavailable, Violation
from server.storage.query import Filters, Position

CALLER = Access(Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "5e"), "ipv4:192.0.2.7:1", "r-1")
ROW = FoundEvent(Position(1, "u", "d"), "a", "", "", 2, b"{}", ())
CHUNK = ChunkId("default", "0" * 20, 1, 9)
HOLE = Missing(MissingReason.JOURNAL_HOLE, "default", "log", "lost")


class OwnJournal:
    """Keeps what the service says of itself; `fails` instead where it is set."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.emitters: list[Access] = []
        self.events: list[dict[str, Any]] = []

    async def submit_own(self, access: Access, payload: bytes) -> None:
        if self.fails:
            raise self.fails
        self.emitters.append(access)
        self.events.append(json.loads(payload))


def page(*rows: FoundEvent, missing: tuple[Missing, ...] = ()) -> SearchPage:
    return SearchPage(list(rows), "", "scan", Cost(), Watermark({}, 0), list(missing), "q-1")


def searched(query: SearchQuery, found: SearchPage) -> dict[str, Any]:
    journal = OwnJournal()
    asyncio.run(ServiceLog(journal).searched(CALLER, query, found))  # type: ignore[arg-type]  # all that it uses
    [emitter], [event] = journal.emitters, journal.events
    assert (emitter.identity, emitter.peer, emitter.request_id) == (SERVICE, CALLER.peer, "r-1")
    assert (event["user"], event["caller"]["certificate_serial"], event["request_id"]) == ("alice", "5e", "r-1")
    return event


def read(selector: EventSelector, uid: str) -> dict[str, Any]:
    journal = OwnJournal()
    asyncio.run(ServiceLog(journal).read(CALLER, selector, uid))  # type: ignore[arg-type]  # as above
    [event] = journal.events
    return event


def test_a_page_tells_its_search_how_many_rows_left_and_whether_it_was_complete() -> None:
    first = searched(SearchQuery(Filters(text="x"), storage="default"), page(ROW, ROW))
    assert {name: first[name] for name in ("query_id", "filters", "storages", "engine")} == {
        "query_id": "q-1",
        "filters": {"text": "x"},
        "storages": ["default"],
        "engine": "scan",
    }
    assert (first["first_page"], first["rows"], first["complete"]) == (True, 2, True)
    later = searched(SearchQuery(page_token="t"), page(missing=(HOLE,)))
    assert (later["first_page"], later["rows"], later["complete"]) == (False, 0, False)


def test_a_get_tells_what_was_asked_for_and_what_was_given() -> None:
    by_uid = read(EventSelector(uid="u"), "u")
    assert (by_uid["asked"], by_uid["found"]) == ({"uid": "u"}, "u")
    by_position = read(EventSelector(log_id="log", sequence=7), "")
    assert (by_position["asked"], by_position["found"]) == ({"log_id": "log", "sequence": 7}, "")


def test_a_huge_uid_is_traced_by_its_digest() -> None:
    """Else whoever may ask for one event could fill the journal by asking."""
    asked = read(EventSelector(uid="u" * MAX_FILTER_BYTES), "")["asked"]
    assert set(asked) == {"sha256", "bytes"}


def test_a_list_of_chunks_and_an_export_tell_what_was_asked_for() -> None:
    journal = OwnJournal()
    log = ServiceLog(journal)  # type: ignore[arg-type]  # as above
    asked = ChunkQuery("all", 1, None, {"log": 7}, page_token="t")
    asyncio.run(log.chunks_listed(CALLER, asked, ChunkPage([Chunk(CHUNK)], missing=[HOLE])))
    asyncio.run(log.chunks_listed(CALLER, ChunkQuery(), ChunkPage([])))
    asyncio.run(log.exported(CALLER, ExportQuery(CHUNK, 3, EventFilter(Filters(text="x"))), found=True))
    later, first, exported = journal.events
    members = "filters", "storages", "first_page", "chunks", "complete"
    assert [later[name] for name in members] == [{"from_ms": 1, "after": {"log": 7}}, ["all"], False, 1, False]
    assert [first[name] for name in members] == [{}, ["followed"], True, 0, True]
    members = "chunk", "after_sequence", "filters", "found"
    assert [exported[name] for name in members] == [str(CHUNK), 3, {"text": "x"}, True]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("closed", reason="JOURNAL_CLOSED"),
        ResourceExhausted("full", reason="JOURNAL_FULL", retry_after=1),
        InvalidRequest([Violation("json", "must be at most 1 byte")]),
    ],
)
def test_without_a_trace_a_read_is_unavailable(error: Exception) -> None:
    journal = OwnJournal()
    journal.fails = error
    log = ServiceLog(journal)  # type: ignore[arg-type]  # as above
    for reading in (
        log.searched(CALLER, SearchQuery(), page(ROW)),
        log.read(CALLER, EventSelector(uid="u"), "u"),
        log.chunks_listed(CALLER, ChunkQuery(), ChunkPage([])),
        log.exported(CALLER, ExportQuery(CHUNK), found=True),
    ):
        with pytest.raises(Unavailable):
            asyncio.run(reading)
