"""Opening a recording: rights, then which one, then its trace, and only then bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from rbac.formulas import Operator, Test
from rbac.identities import SERVICE
from server.audit_log.access import Access
from server.errors import AuditStoreError, InvalidRequest, NotFound, Unavailable
from server.recordings.opening import NOT_GIVEN, Opening, Selection
from server.recordings.recorded_events import EventReading
from server.recordings.recording import Recording

ACCESS = Access(SERVICE, "ipv4:127.0.0.1:1", "r-1")
CONDITIONED = replace(ACCESS, condition=Test(("participants",), Operator.HAS_ANY, ("alice",), holds=True))
RECORDING = Recording("s-1", "u-1", "default", 10, 1, "c", "d", SERVICE, 1, 2)


@dataclass
class World:
    """Whatever opening asks, in the order in which it is asked."""

    found: Recording | None = RECORDING
    refused: str = ""
    traced: bool = True
    access: Access = ACCESS
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def refusal(self, access: Access, session_id: str, upload_id: str) -> str:
        self.asked.append(("rights", session_id, upload_id))
        return self.refused

    async def find(self, session_id: str, upload_id: str) -> Recording | None:
        self.asked.append(("find", session_id, upload_id))
        return self.found

    async def recording_read(self, access: Access, *, session_id: str, **members: object) -> None:
        self.asked.append(("trace", session_id, members))
        if not self.traced:
            raise Unavailable("no trace", reason="JOURNAL_CLOSED")

    async def chunks(self, recording: Recording, offset: int, length: int) -> AsyncIterator[bytes]:
        self.asked.append(("read", offset, length))
        yield b"x" * length

    def opening(self) -> Opening:
        return Opening(self, self, EventReading(ThreadPoolExecutor(1)), self)

    def download(self, offset: int = 0, length: int = 0, upload_id: str = "") -> bytes:
        async def run() -> bytes:
            opened = await self.opening().download(lambda: self.access, Selection("s-1", upload_id, offset, length))
            return b"".join([data async for data in opened.parts])

        return asyncio.run(run())

    def events(self, start_index: int = 0) -> list[int]:
        async def run() -> list[int]:
            opened = await self.opening().events(lambda: self.access, Selection("s-1"), start_index, len)
            return [count async for count in opened.parts]

        return asyncio.run(run())


def test_rights_come_before_anything_is_looked_up_and_the_trace_before_the_first_byte() -> None:
    world = World()
    assert len(world.download(upload_id="u-1")) == 10
    assert [step[0] for step in world.asked] == ["rights", "find", "trace", "read"]
    assert world.asked[0] == ("rights", "s-1", "u-1")
    assert world.asked[2][2] == {
        "upload_id": "u-1",
        "storage": "default",
        "purpose": "download",
        "asked": {"offset": 0, "length": 0},
    }


@pytest.mark.parametrize("purpose", ["download", "events"])
def test_a_session_is_asked_again_when_the_callers_condition_has_changed_and_only_then(purpose: str) -> None:
    world = World()

    async def run() -> str:
        if purpose == "download":
            check = (await world.opening().download(lambda: world.access, Selection("s-1", "u-1"))).check_rights
        else:
            check = (await world.opening().events(lambda: world.access, Selection("s-1", "u-1"), 0, len)).check_rights
        await check()
        assert [step[0] for step in world.asked].count("rights") == 1
        world.access = CONDITIONED
        await check()
        assert world.asked[-1] == ("rights", "s-1", "u-1")
        await check()
        assert [step[0] for step in world.asked].count("rights") == 2
        world.access = replace(ACCESS, condition=Test(("participants",), Operator.HAS_ANY, ("bob",), holds=True))
        world.refused = "the condition of role access"
        with pytest.raises(NotFound) as failed:
            await check()
        return failed.value.hidden

    assert asyncio.run(run()) == NOT_GIVEN


def test_the_events_are_traced_as_such() -> None:
    world = World()
    assert sum(world.events(start_index=3)) >= 1
    assert [step[0] for step in world.asked] == ["rights", "find", "trace", "read"]
    assert world.asked[2][2]["purpose"] == "events"
    assert world.asked[2][2]["asked"] == {"start_index": 3}
    assert world.asked[3] == ("read", 0, 10)


@pytest.mark.parametrize("open_", [World.download, World.events])
def test_without_a_trace_nothing_is_read(open_: Any) -> None:
    world = World(traced=False)
    with pytest.raises(Unavailable):
        open_(world)
    assert "read" not in [step[0] for step in world.asked]


@pytest.mark.parametrize("open_", [World.download, World.events])
def test_none_and_not_yours_differ_only_for_the_log(open_: Any) -> None:
    errors: list[AuditStoreError] = []
    for world in (
        World(found=None, access=CONDITIONED),
        World(refused="no end", access=CONDITIONED),
        World(found=None),
    ):
        with pytest.raises(NotFound) as failed:
            open_(world)
        errors.append(failed.value)
        assert "trace" not in [step[0] for step in world.asked]
    none, hidden, absent = errors
    assert (none.message, none.reason, none.metadata) == (hidden.message, hidden.reason, hidden.metadata)
    assert (none.hidden, hidden.hidden) == (NOT_GIVEN, NOT_GIVEN), "who is refused may read of it"
    assert (none.for_log, hidden.for_log) == ("there is no such recording", "no end")
    assert absent.hidden == "", "to who may open every recording nothing is refused"


def test_what_conditions_refuse_is_not_looked_up() -> None:
    world = World(refused="no")
    with pytest.raises(NotFound):
        world.download()
    assert [step[0] for step in world.asked] == ["rights"]


@pytest.mark.parametrize(
    ("offset", "length", "read"), [(0, 0, (0, 10)), (3, 0, (3, 7)), (3, 4, (3, 4)), (3, 99, (3, 7)), (10, 0, (10, 0))]
)
def test_a_range_ends_with_the_recording(offset: int, length: int, read: tuple[int, int]) -> None:
    world = World()
    world.download(offset, length)
    assert world.asked[-1] == ("read", *read)


def test_a_range_beyond_the_end_is_refused() -> None:
    world = World()
    with pytest.raises(InvalidRequest) as failed:
        world.download(11)
    assert [violation.field for violation in failed.value.violations] == ["offset"]
