"""Both engines give the same pages to generated queries over the same objects, and Athena finds just those that hold
matching rows.

EXTAUDIT_QUERIES says how many queries, EXTAUDIT_SEED which ones; 500 take some minutes.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from rbac.identities import IdentityKind
from server.audit_log.search.query import SearchPage, SearchQuery
from server.audit_log.timestamps import format_rfc3339
from server.storage.finding import FindRequest, FoundObject
from server.storage.matching import compile_filters
from server.storage.query import FieldEquality, FieldValue, Filters, Order
from tests.account_under_test import Account
from tests.contract.athena_rig import AWS, AthenaRig, athena_rig
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NODE, NOON, shown
from tests.contract.test_conditions_at_random import SCALARS, TEXTS, some_formula, some_value

QUERIES = int(os.environ.get("EXTAUDIT_QUERIES", "40"))
SEED = int(os.environ.get("EXTAUDIT_SEED", "7"))
TYPES = ("user.login", "it's", "session.end", 'a "b"', "x?y")
USERS = ("ann", "Bé", "O'Neill", "", "100%", "a_b")
SESSIONS = ("", "s-1", "s'2", "--")
WORDS = ("Alpha", "50% off_", "dé", "a\\b", "<tag>", "line\nbreak", "K'", "\u017f", "?")
NEEDLES = ("alpha", "50%", "off_", "É", "dé", "\\", "<TAG>", "k", "\u017f", "'", "?", '"w":', "line\nb", "zzz")
PLAIN_PATHS = (("w",), ("a",), ("b",), ("a.b",), ("$x",), ("-",), ("a", "b"), ("b", "-"), ("uid",))
BATCHES, EVENTS = 7, 12
PARTS = 10


def _event(chance: random.Random, number: int) -> bytes:
    time_ms = NOON + chance.choice((0, 1, 2, 999, 1000)) + DAY_MS * chance.choice((-400, -1, 0, 0, 0))
    members: dict[str, object] = {
        "event": chance.choice(TYPES),
        "uid": f"u-{number % 70}",
        "time": format_rfc3339(time_ms),
        "w": chance.choice(WORDS),
        **{key: some_value(chance, 2) for key in chance.sample(("a", "b", "a.b", "$x", "-"), 3)},
    }
    if user := chance.choice(USERS):
        members["user"] = user
    if session := chance.choice(SESSIONS):
        members["sid"] = session
    if chance.random() < 0.02:
        members["long"] = "x" * 300_000
    return json.dumps(members, ensure_ascii=chance.random() < 0.5).encode()


@pytest.fixture(scope="module")
def rig(account_named: Callable[[str], Account], tmp_path_factory: pytest.TempPathFactory) -> Iterator[AthenaRig]:
    with athena_rig(account_named("oracle"), tmp_path_factory.mktemp("athena")) as rig:
        chance = random.Random(SEED)
        for batch in range(BATCHES):
            for by in chance.sample((ALICE, BOB, NODE), 2):
                numbers = [chance.randrange(100) for _ in range(EVENTS)]
                rig.log.emit(*dict.fromkeys(_event(chance, number) for number in numbers), by=by)
            if batch < BATCHES - 1:
                rig.deliver()
        yield rig  # the last batch is still in the tail


def _some(chance: random.Random, values: tuple[str, ...]) -> frozenset[str]:
    return frozenset(chance.sample(values, chance.randint(1, 2)))


def some_filters(chance: random.Random) -> Filters:
    odds = chance.choice((0.08, 0.15, 0.3))

    def wanted() -> bool:
        return chance.random() < odds

    times = sorted(NOON + chance.choice((-500 * DAY_MS, -DAY_MS, 0, 1, 3, 1001, DAY_MS)) for _ in range(2))
    fields: list[FieldEquality] = []
    while wanted() and len(fields) < 2:
        value: FieldValue = chance.choice([*WORDS, *SCALARS])  # type: ignore[assignment]
        fields.append(FieldEquality(chance.choice(PLAIN_PATHS), value))
    return Filters(
        from_ms=times[0] if wanted() else None,
        to_ms=times[1] if wanted() else None,
        types=_some(chance, TYPES) if wanted() else frozenset(),
        users=_some(chance, USERS) if wanted() else frozenset(),
        session_id=chance.choice(SESSIONS) if wanted() else "",
        uids=frozenset(f"u-{chance.randrange(70)}" for _ in range(12)) if wanted() else frozenset(),
        text=chance.choice((*NEEDLES, *(text for text in TEXTS if text))) if wanted() else "",
        fields=tuple(fields),
        condition=some_formula(chance, 2) if chance.random() < odds / 2 else None,
    )


def _query(chance: random.Random) -> SearchQuery:
    return SearchQuery(
        some_filters(chance),
        emitters=frozenset(chance.sample(("alice", "bob", "node-1"), 2)) if chance.random() < 0.15 else frozenset(),
        emitter_kinds=frozenset({IdentityKind.USER}) if chance.random() < 0.1 else frozenset(),
        order=chance.choice(list(Order)),
        storage=AWS,
        page_size=chance.choice((3, 20, 200, 1000, 1000, 1000)),
    )


@dataclass
class _Stored:
    """Rows of the objects, for a finding without an engine."""

    rig: AthenaRig

    def holding(self, request: FindRequest) -> dict[str, FoundObject]:
        matches = compile_filters(request.filters)
        found: dict[str, list[int]] = {}
        catalogue = self.rig.log.catalogue
        kept = {(each.receipt.log_id, each.receipt.sequence): each.event for each in self.rig.log.kept}
        for item in catalogue.objects(AWS):
            if not request.first_date <= item.date <= request.last_date:
                continue
            for sequence in range(item.first, item.last + 1):
                event = kept[item.log_id, sequence]
                day = format_rfc3339(event.time_ms)[:10]
                if day == item.date and matches(
                    event.time_ms, event.type, event.uid, event.session_id, event.user, event.data
                ):
                    found.setdefault(item.name, []).append(event.time_ms)
        return {name: FoundObject(name, min(times), max(times), len(times)) for name, times in found.items()}


def _rows(pages: list[SearchPage]) -> list[tuple[object, ...]]:
    return [
        (row.position, row.type, row.session_id, row.user, row.size, row.data) for page in pages for row in page.rows
    ]


@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_give_the_same_pages(rig: AthenaRig, part: int) -> None:
    chance, stored = random.Random(f"{SEED} {part}"), _Stored(rig)
    some = pages = 0
    for number in range(QUERIES // PARTS):
        query, search = _query(chance), rig.search(limit=chance.choice((4, *[10_000] * 5)))
        if number == 0:  # one of several pages, whatever chance has
            query = SearchQuery(storage=AWS, page_size=20)
        scanned = list(rig.log.pages(replace(query, engine="scan"), search=search))
        rig.finder.findings.clear()
        asked = list(rig.log.pages(replace(query, engine="athena"), search=search))
        assert shown(asked) == shown(scanned), (number, query)
        assert _rows(asked) == _rows(scanned), (number, query)
        assert all(page.complete and page.engine == "athena" for page in asked)
        found = {each.name: each for _, finding in rig.finder.findings for each in finding.objects}
        assert sum(len(finding.objects) for _, finding in rig.finder.findings) == len(found), "none is found twice"
        if rig.finder.findings:
            assert found == stored.holding(rig.finder.findings[0][0]), (number, query)
        some += 0 < len(found) < BATCHES
        pages += len(asked)
    assert pages > QUERIES // PARTS
    if QUERIES >= 10 * PARTS:  # of fewer it may happen that none meets
        assert some, "queries and objects meet"
