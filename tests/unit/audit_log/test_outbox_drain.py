"""What waits in the outbox reaches the journal in order and once, whatever fails in between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rbac.identities import IdentityKind
from server.audit_log import outbox_drain
from server.audit_log.access import Access
from server.audit_log.outbox_drain import OutboxDrain
from server.errors import InvalidRequest, Unavailable, Violation
from server.service_events import CLOCK_STEPPED, EVENT_REFUSED
from server.state.database import open_database
from server.state.outbox import Outbox, add


class OwnJournal:
    """Takes events, refuses those that `refuses` names by number, and is down while `down`."""

    def __init__(self, refuses: frozenset[int] = frozenset()) -> None:
        self.down = 0
        self.taken: list[dict[str, object]] = []
        self.raw: list[bytes] = []
        self._refuses = refuses

    async def submit_own(self, access: Access, payload: bytes) -> None:
        assert access.identity.kind is IdentityKind.SERVICE
        event = json.loads(payload)
        if event.get("number") in self._refuses:
            raise InvalidRequest([Violation("time", "must not be more than 24 hours ahead")])
        if self.down and len(self.taken) >= self.down:
            raise Unavailable("closed", reason="JOURNAL_CLOSED")
        self.taken.append(event)
        self.raw.append(payload)

    @property
    def numbers(self) -> list[object]:
        return [event.get("number") for event in self.taken]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(engine: Engine) -> Outbox:
    found = Outbox(engine)
    for number in range(5):
        found.record({"event": CLOCK_STEPPED, "number": number})
    return found


def test_everything_is_journalled_in_order_and_forgotten(outbox: Outbox) -> None:
    journal = OwnJournal()
    assert asyncio.run(OutboxDrain(outbox, journal).drain())
    assert journal.numbers == [0, 1, 2, 3, 4]
    assert len(outbox) == 0


def test_what_cannot_be_journalled_stays_with_all_behind_it_and_is_tried_again(outbox: Outbox) -> None:
    journal = OwnJournal()
    journal.down = 2
    drain = OutboxDrain(outbox, journal)
    assert not asyncio.run(drain.drain())
    assert (journal.numbers, len(outbox)) == ([0, 1], 3)
    journal.down = 0
    assert asyncio.run(drain.drain())
    assert (journal.numbers, len(outbox)) == ([0, 1, 2, 3, 4], 0)


def test_it_is_failing_after_its_patience_and_well_again_once_drained(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = OwnJournal()
    journal.down = 1
    drain = OutboxDrain(outbox, journal)
    asyncio.run(drain.drain())
    assert not drain.failing
    monkeypatch.setattr(outbox_drain, "PATIENCE_SECONDS", 0.0)
    assert drain.failing
    journal.down = 0
    asyncio.run(drain.drain())
    assert not drain.failing


def test_a_fault_of_ours_keeps_what_waits(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_drain, "PATIENCE_SECONDS", 0.0)

    class Faulty(OwnJournal):
        async def submit_own(self, access: Access, payload: bytes) -> None:
            raise ZeroDivisionError

    drain = OutboxDrain(outbox, Faulty())
    assert not asyncio.run(drain.drain())
    assert drain.failing
    assert len(outbox) == 5


def test_a_database_that_cannot_be_read_is_a_failure_and_no_end(outbox: Outbox, tmp_path: Path) -> None:
    drain = OutboxDrain(outbox, OwnJournal())
    for path in tmp_path.glob("state.db*"):
        path.write_bytes(b"no database" * 100)
    assert not asyncio.run(drain.drain())


def test_an_event_that_is_refused_is_kept_within_another_and_holds_nothing_up(outbox: Outbox) -> None:
    """A clock that was set back makes an event one of the future."""
    original = outbox.first(3)[2].data.decode()
    journal = OwnJournal(refuses=frozenset({2}))
    assert asyncio.run(OutboxDrain(outbox, journal).drain())
    assert journal.numbers == [0, 1, None, 3, 4]
    wrapped = journal.taken[2]
    assert (wrapped["event"], wrapped["original"]) == (EVENT_REFUSED, original)
    assert wrapped["violations"] == [{"field": "time", "description": "must not be more than 24 hours ahead"}]


def test_a_refused_event_that_is_drained_again_has_the_same_bytes(engine: Engine) -> None:
    """So that the journal knows the second for a repeat of the first."""
    outbox = Outbox(engine)
    outbox.record({"event": CLOCK_STEPPED, "number": 2})
    (data,) = (item.data for item in outbox.first(1))
    journals = [OwnJournal(frozenset({2})) for _ in range(2)]
    for journal in journals:
        asyncio.run(OutboxDrain(outbox, journal)._submit(data))
    assert journals[0].raw == journals[1].raw


def test_what_belongs_to_a_storage_goes_there_before_the_switch_or_waits_for_it(engine: Engine) -> None:
    """And nothing waits for a storage that is not to be active: it goes to the one that is."""
    outbox, journal = Outbox(engine), OwnJournal()
    to_come = ["there"]
    drain = OutboxDrain(outbox, journal, lambda: to_come[0])
    with engine.begin() as connection:
        for number, storage in enumerate(("here", "there", "", "gone")):
            add(connection, {"event": CLOCK_STEPPED, "number": number}, storage)
    assert asyncio.run(drain.drain())
    assert (journal.numbers, len(outbox)) == ([0, 2, 3], 1)
    to_come[0] = ""
    assert asyncio.run(drain.drain())
    assert (journal.numbers, len(outbox)) == ([0, 2, 3, 1], 0)


def test_it_runs_until_it_is_stopped_and_wakes_at_once(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox_drain, "PERIOD_SECONDS", 3600.0)

    async def run() -> None:
        journal = OwnJournal()
        drain = OutboxDrain(outbox, journal)
        task = asyncio.create_task(drain.run())
        while len(journal.taken) < 5:  # noqa: ASYNC110 -- what is waited for has no event to wait on
            await asyncio.sleep(0)
        outbox.record({"event": CLOCK_STEPPED, "number": 5})
        while len(journal.taken) < 6:
            drain.wake()
            await asyncio.sleep(0)
        drain.stop()
        async with asyncio.timeout(60):
            await task

    asyncio.run(run())
    assert len(outbox) == 0
