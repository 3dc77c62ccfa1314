"""The start and the stop of the service, as its own log tells them, also where the log or the state is in trouble."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from server.audit_log import self_audit as module
from server.audit_log.changes import Changes
from server.audit_log.outbox_drain import OutboxDrain
from server.audit_log.self_audit import SelfAudit
from server.state.database import open_database
from server.state.outbox import Outbox


class OwnJournal:
    """Numbers the events that it takes; takes none while it hangs."""

    log_id = "log"

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.hangs = False

    @property
    def next_sequence(self) -> int:
        return len(self.events) + 1

    async def submit_own(self, _access: object, payload: bytes) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        self.events.append(json.loads(payload))

    @property
    def kinds(self) -> list[str]:
        return [event["event"].removeprefix("extaudit.") for event in self.events]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


def audit_of(engine: Engine, journal: OwnJournal) -> SelfAudit:
    outbox = Outbox(engine)
    drain, changes = OutboxDrain(outbox, journal), Changes(outbox)
    return SelfAudit(journal, changes, drain, journal)  # type: ignore[arg-type]  # it has all that is used of both


def test_a_run_is_told_with_its_first_and_last_sequence_after_what_was_noted_last(engine: Engine) -> None:
    journal = OwnJournal()
    audit = audit_of(engine, journal)

    async def live() -> None:
        await audit.start(version="1")
        audit.changes.clock_stepped(2.0)
        await audit.stop(version="1")

    asyncio.run(live())
    assert journal.kinds == ["service.start", "clock.step", "service.stop"]
    start, _, stop = journal.events
    assert (start["next_sequence"], start["log_id"]) == (1, "log")
    assert (stop["first_sequence"], stop["log_id"]) == (1, "log")


def test_what_an_earlier_run_left_comes_before_the_start(engine: Engine) -> None:
    journal = OwnJournal()
    earlier = Changes(Outbox(engine))
    earlier.clock_stepped(2.0)
    earlier.write()
    asyncio.run(audit_of(engine, journal).start())
    assert journal.kinds == ["clock.step", "service.start"]


def test_what_never_started_does_not_stop(engine: Engine) -> None:
    journal = OwnJournal()
    asyncio.run(audit_of(engine, journal).stop())
    assert journal.kinds == []


def test_a_stop_waits_for_a_hanging_journal_a_bounded_time_and_the_events_wait_for_the_next_start(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.1)
    journal = OwnJournal()
    audit = audit_of(engine, journal)

    async def live() -> None:
        await audit.start()
        journal.hangs = True
        async with asyncio.timeout(60):
            await audit.stop()

    asyncio.run(live())
    assert journal.kinds == ["service.start"]
    journal.hangs = False
    asyncio.run(audit_of(engine, journal).start())
    assert journal.kinds == ["service.start", "service.stop", "service.start"]


def test_a_state_that_cannot_be_written_holds_neither_start_nor_stop_up(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO away")
    audit = audit_of(engine, OwnJournal())

    async def live() -> None:
        await audit.start()
        await audit.stop()

    asyncio.run(live())
