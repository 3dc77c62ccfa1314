"""Searches and gets of a caller whose roles have conditions: over tail, batches and pages, only what they admit."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import replace

import pytest

from rbac.condition_grammar import parse_condition
from rbac.formulas import Formula
from rbac.policy import Policy
from rbac.roles import Role, Rule
from server.audit_log.access import Access
from server.audit_log.search.gaps import told
from server.audit_log.search.not_given import NOT_GIVEN
from server.audit_log.search.query import Cost, EventSelector, FoundEvent, Missing, MissingReason, SearchQuery
from server.audit_log.search.rights import condition_of, restricted
from server.errors import FailedPrecondition, NotFound, PermissionDenied, Unavailable
from server.storage.ports import ConditionUnsupported
from server.storage.query import Filters, Order, ScanRequest, ScanResult
from tests.contract.search_rig import ALICE, DAY_MS, NOON, SearchRig, event_json

OWN = "event.owner == user.metadata.name"
SECRET = "event.level == 'secret'"


def rights(*, allow: str = "", deny: str = "") -> Access:
    def rules(where: str) -> tuple[Rule, ...]:
        return (Rule(frozenset({"event"}), frozenset({"list"}), parse_condition(where)),) if where else ()

    everything = (Rule(frozenset({"event"}), frozenset({"list"})),)
    policy = Policy.of([Role("auditor", rules(allow) or everything, rules(deny), 1)])
    formula: Formula = policy.admits(ALICE, "event", ("list",))
    return Access(ALICE, "peer", "id", formula)


def found(rig: SearchRig, access: Access, query: SearchQuery | None = None) -> list[str]:
    return rig.found(restricted(query or SearchQuery(), access))


@pytest.fixture
def mixed(rig: SearchRig) -> SearchRig:
    """Events of several owners and levels, some without them, over two batches, a cut section and the tail."""
    owners, levels = ["alice", "bob", None, ["alice"], 7], ["secret", "open", None]
    for part in range(4):
        events = []
        for number in range(15):
            members = {"owner": owners[number % 5], "level": levels[number % 3]}
            kept = {name: value for name, value in members.items() if value is not None}
            events.append(event_json(f"u{part}-{number}", NOON + (number * 4 + part) * 1000, **kept))
        if part < 2:
            rig.store(*events)
        else:
            rig.emit(*events)
            if part == 2:
                rig.cut()
    return rig


@pytest.mark.parametrize("order", Order)
@pytest.mark.parametrize("page_size", [1, 4, 1000])
@pytest.mark.parametrize(
    ("access", "admits"),
    [
        (rights(allow=OWN), lambda event: event.get("owner") == "alice"),
        (rights(deny=SECRET), lambda event: event.get("level") == "open"),
        (rights(allow=OWN, deny=SECRET), lambda event: (event.get("owner"), event.get("level")) == ("alice", "open")),
        (rights(allow="event.owner != 'bob'"), lambda event: event.get("owner") == "alice"),
        (rights(deny="event.owner != 'bob'"), lambda event: event.get("owner") == "bob"),
        (rights(allow="contains(event.owner, 'alice')"), lambda event: event.get("owner") in ("alice", ["alice"])),
    ],
)
def test_a_search_finds_just_what_the_roles_admit(
    mixed: SearchRig, order: Order, page_size: int, access: Access, admits: object
) -> None:
    assert callable(admits)
    events = sorted(mixed.kept, key=lambda item: item.position, reverse=order is Order.NEWEST_FIRST)
    wanted = [item.event.uid for item in events if admits(json.loads(item.event.data))]
    assert 0 < len(wanted) < len(events)
    assert found(mixed, access, SearchQuery(order=order, page_size=page_size)) == wanted


def test_a_value_that_is_not_there_hides_an_event_from_a_deny_and_from_an_allow(rig: SearchRig) -> None:
    rig.store(event_json("stored"))
    rig.emit(event_json("in-the-tail"))
    for access in (
        rights(allow=SECRET),
        rights(allow=f"!({SECRET})"),
        rights(deny=SECRET),
        rights(deny=f"!({SECRET})"),
    ):
        assert found(rig, access) == []
    assert len(found(rig, rights())) == 2


def test_what_is_not_admitted_takes_no_place_on_a_page(rig: SearchRig) -> None:
    rig.store(*(event_json(f"old{number}", NOON + number, owner="alice") for number in range(2)))
    rig.store(*(event_json(f"new{number}", NOON + 1000 + number, owner="bob") for number in range(50)))
    rig.emit(*(event_json(f"tail{number}", NOON + 2000 + number, owner="bob") for number in range(50)))
    page = rig.page(restricted(SearchQuery(page_size=2), rights(allow=OWN)))
    assert [row.position.uid for row in page.rows] == ["old1", "old0"]
    assert page.next_page_token == ""


def test_rights_are_those_of_each_page_and_not_of_the_first(mixed: SearchRig) -> None:
    query = SearchQuery(page_size=5)
    first = mixed.page(restricted(query, rights()))
    second = mixed.page(restricted(replace(query, page_token=first.next_page_token), rights(allow=OWN)))
    assert len(first.rows) == 5
    assert second.rows
    assert {json.loads(row.data or b"")["owner"] for row in second.rows} == {"alice"}
    assert max(row.position for row in second.rows) < min(row.position for row in first.rows)


def get(rig: SearchRig, access: Access, **selector: object) -> FoundEvent:
    asked = EventSelector(**selector)  # type: ignore[arg-type]
    return rig.search.get(ALICE, asked, time.monotonic() + 60, condition=condition_of(access))


def refusal(rig: SearchRig, access: Access, **selector: object) -> NotFound:
    with pytest.raises(NotFound) as refused:
        get(rig, access, **selector)
    return refused.value


@pytest.mark.parametrize("stored", [False, True])
def test_what_the_roles_do_not_admit_is_not_found_as_if_it_were_not_there(rig: SearchRig, stored: bool) -> None:
    [own, others] = rig.emit(event_json("own", owner="alice"), event_json("others", NOON + 1, owner="bob"))
    if stored:
        rig.cut()
        rig.deliver()
    access, log_id = rights(allow=OWN), own.receipt.log_id
    assert get(rig, access, uid="own").data == own.event.data
    assert get(rig, access, log_id=log_id, sequence=own.receipt.sequence).data == own.event.data
    assert get(rig, rights(), uid="others").data == others.event.data
    hidden = [
        refusal(rig, access, uid="others"),
        refusal(rig, access, uid="others", digest=others.position.digest),
        refusal(rig, access, log_id=log_id, sequence=others.receipt.sequence),
    ]
    gone = [refusal(rig, access, uid="gone"), refusal(rig, access, log_id=log_id, sequence=99)]
    shown = {(type(error), error.message, error.reason, str(error.metadata)) for error in [*hidden, *gone]}
    assert len(shown) == 1
    # Alice may read her own refusals, and their number is in watermarks: they tell as little as the answers do.
    assert [error.hidden for error in [*hidden, *gone]] == [NOT_GIVEN] * 5
    assert {error.for_log for error in hidden}.isdisjoint({error.for_log for error in gone})
    absent = [refusal(rig, rights(), uid="gone"), refusal(rig, rights(), log_id=log_id, sequence=99)]
    assert [error.hidden for error in absent] == ["", ""], "to who sees every event nothing is refused"


@pytest.mark.parametrize("stored", [False, True])
def test_only_admitted_events_make_a_uid_ambiguous(rig: SearchRig, stored: bool) -> None:
    rig.emit(*(event_json("same", NOON + number, owner=owner) for number, owner in enumerate(["bob", "alice", "bob"])))
    if stored:
        rig.cut()
        rig.deliver()
    assert get(rig, rights(allow=OWN), uid="same").data == rig.kept[1].event.data
    with pytest.raises(FailedPrecondition) as refused:
        get(rig, rights(allow="event.owner == 'bob'"), uid="same")
    assert refused.value.metadata["count"] == "2"


def test_an_unreadable_event_is_unavailable_to_a_caller_with_conditions_too(rig: SearchRig) -> None:
    [kept] = rig.store(event_json("u1", owner="alice"))
    [path] = rig.objects()
    path.write_bytes(bytes(path.stat().st_size))
    for selector in ({"uid": "u1"}, {"log_id": kept.receipt.log_id, "sequence": kept.receipt.sequence}):
        with pytest.raises(Unavailable):
            get(rig, rights(allow=OWN), **selector)


class UnableEngine:
    """Can't take conditions into its query."""

    def scan(self, request: ScanRequest, *, deadline: float | None = None) -> ScanResult:
        assert request.filters.condition is not None
        raise ConditionUnsupported

    def fetch(self, path: str, row_number: int) -> bytes:
        raise AssertionError


def test_a_search_whose_condition_an_engine_can_not_take_is_refused(rig: SearchRig) -> None:
    rig.store(event_json("u1", owner="alice"))
    search = rig.search_with(UnableEngine())
    with pytest.raises(PermissionDenied) as refused:
        rig.page(restricted(SearchQuery(), rights(allow=OWN)), search=search)
    assert (refused.value.message, refused.value.metadata) == ("access denied", {"kind": "event", "verb": "list"})
    assert "an engine can't" in refused.value.hidden


def test_restricting_changes_nothing_but_the_condition() -> None:
    query = SearchQuery(Filters(text="x", uids=frozenset({"u"})), page_size=7, page_token="t")
    assert restricted(query, rights()) == query
    assert condition_of(rights()) is None
    once = restricted(query, rights(allow=OWN))
    assert once.filters.condition is not None
    assert restricted(once, rights()) == query, "what a query brings along counts for nothing"
    assert dataclasses.replace(once, filters=replace(once.filters, condition=None)) == query


@pytest.mark.parametrize("ask", ["types", "emitters"])
def test_what_was_read_does_not_tell_whether_there_is_something_that_may_not_be_seen(
    mixed: SearchRig, ask: str
) -> None:
    access = rights(allow="event.owner == 'nobody'")

    def cost(value: str) -> Cost:
        asked = frozenset({value})
        query = SearchQuery(Filters(types=asked)) if ask == "types" else SearchQuery(emitters=asked)
        page = mixed.page(restricted(query, access))
        assert page.rows == []
        return page.cost

    there, not_there = cost({"types": "user.login", "emitters": ALICE.name}[ask]), cost("no-such-thing")
    assert there.objects > 0
    assert there == not_there


def test_an_object_that_is_gone_makes_the_answer_incomplete_and_is_not_named(rig: SearchRig) -> None:
    """Its name would tell of which date there were events, and how many."""
    rig.store(event_json("others", NOON - DAY_MS, owner="bob"))
    rig.store(event_json("too", NOON - 2 * DAY_MS, owner="bob"))
    rig.store(event_json("own", owner="alice"))
    for path in rig.objects()[:2]:
        path.unlink()
    page = rig.page(restricted(SearchQuery(), rights(allow=OWN)))
    assert [row.position.uid for row in page.rows] == ["own"]
    [part] = page.missing
    assert (part.reason, part.storage, part.name, page.complete) == (MissingReason.OBJECT_MISSING, "default", "", False)
    everything = rig.page(SearchQuery())
    assert len({each.name for each in everything.missing}) == 2


def test_nothing_is_named_but_sequences_and_storages() -> None:
    for reason in MissingReason:
        [part] = told([Missing(reason, "s", "2026-11-17/x", "of 2026-11-17", 4, 7)] * 2, sees_all=False)
        is_kept = (part.name, part.first_sequence) == ("2026-11-17/x", 4)
        assert is_kept == (reason.value in {"JOURNAL_HOLE", "TIME_LIMIT", "OTHER_STORAGE", "EXPIRED"})
        assert is_kept or "2026" not in part.description
