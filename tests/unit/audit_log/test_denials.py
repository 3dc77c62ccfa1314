"""One event for each identity, method and reason a minute, with a count, however much is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log import denials as module
from server.audit_log.access import Access
from server.audit_log.denials import MINUTE, Denials, Refusal
from server.errors import ResourceExhausted, Unavailable

REFUSAL = Refusal("/s/M", "PERMISSION_DENIED", "ACCESS_DENIED", "unknown_role")


def caller(name: str = "eve", serial: str = "1") -> Access:
    return Access(Identity(IdentityKind.USER, name, frozenset({"x"}), "anchor", serial), "ipv4:1", f"r-{serial}")


class Log:
    """Keeps what is told; fails at once with `raises`, later with `fails`."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.raises: Exception | None = None
        self.fails: Exception | None = None

    def denied(self, access: Access, **members: object) -> Awaitable[object]:
        if self.raises:
            raise self.raises
        if not self.fails:
            self.told.append({"name": access.identity.name, "request_id": access.request_id, **members})
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.fails:
            future.set_exception(self.fails)
        else:
            future.set_result(None)
        return future

    @property
    def counts(self) -> list[tuple[object, object]]:
        return [(event["name"], event["count"]) for event in self.told]


class Clocks:
    """Both clocks, which only a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def steady(self) -> float:
        return self.seconds

    def now_ms(self) -> int:
        return int(self.seconds * 1000)


def run(test: Callable[[Log, Clocks, Denials], Awaitable[None]]) -> None:
    async def bounded() -> None:
        log, clocks = Log(), Clocks()
        async with asyncio.timeout(60):
            await test(log, clocks, Denials(log, clocks.steady, clocks.now_ms))

    asyncio.run(bounded())


def test_the_first_is_told_at_once_and_the_rest_of_its_minute_as_one() -> None:
    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        denials.refused(caller(), REFUSAL)
        assert log.counts == [("eve", 1)]
        assert {key: log.told[0][key] for key in REFUSAL._fields} == REFUSAL._asdict()
        for _ in range(1_000):
            clocks.seconds += 0.5**10
            denials.refused(caller(serial="2"), REFUSAL)
        denials.write_due()
        assert len(log.told) == 1
        clocks.seconds += MINUTE
        denials.write_due()
        assert log.counts == [("eve", 1), ("eve", 1_000)]
        assert (log.told[1]["first_time"], log.told[1]["last_time"]) == (
            "1970-01-01T00:16:40.000Z",
            "1970-01-01T00:16:40.976Z",
        )

    run(test)


def test_events_that_a_stream_refuses_count_one_by_one() -> None:
    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        for count in (7, 2, 3):
            denials.refused(caller(), REFUSAL, count)
        clocks.seconds += MINUTE
        denials.write_due()
        assert log.counts == [("eve", 7), ("eve", 5)]

    run(test)


def test_identity_method_reason_and_cause_are_told_apart_and_serials_are_not() -> None:
    async def test(log: Log, _clocks: Clocks, denials: Denials) -> None:
        for access in (caller(), caller(serial="2"), caller("mallory")):
            denials.refused(access, REFUSAL)
        for changed in ({"method": "/s/N"}, {"reason": "LOCKED"}, {"hidden": "rules"}):
            denials.refused(caller(), REFUSAL._replace(**changed))
        assert len(log.told) == 5

    run(test)


def test_after_a_quiet_minute_the_next_is_told_at_once_again() -> None:
    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        for _ in range(3):
            denials.refused(caller(), REFUSAL)
            clocks.seconds += MINUTE
            denials.write_due()
        assert log.counts == [("eve", 1)] * 3

    run(test)


def test_while_refusals_go_on_there_is_one_event_a_minute() -> None:
    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        for _ in range(10 * 60):
            denials.refused(caller(), REFUSAL)
            clocks.seconds += 1
            denials.write_due()
        assert len(log.told) == 11
        assert sum(event["count"] for event in log.told) == 600

    run(test)


def test_however_many_identities_there_are_memory_is_bounded_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_KEYS", 10)

    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        for number in range(50):
            denials.refused(caller(f"user-{number}"), REFUSAL)
        assert len(log.told) == 11
        assert log.told[-1] == log.told[-1] | {"name": SERVICE.name, "overflow": True, "count": 1}
        clocks.seconds += MINUTE
        denials.write_due()
        assert log.counts[-1] == (SERVICE.name, 39)
        assert len(denials._windows) == 1

    run(test)


@pytest.mark.parametrize("when", ["raises", "fails"])
def test_what_cannot_be_journalled_is_told_with_the_next_minute(when: str) -> None:
    async def test(log: Log, clocks: Clocks, denials: Denials) -> None:
        error = ResourceExhausted("full", reason="JOURNAL_FULL", retry_after=1)
        setattr(log, when, error if when == "raises" else Unavailable("closed"))
        denials.refused(caller(), REFUSAL)
        denials.refused(caller(), REFUSAL)
        await denials.flush()
        assert log.told == []
        setattr(log, when, None)
        clocks.seconds += MINUTE
        denials.write_due()
        assert log.counts == [("eve", 2)]

    run(test)


def test_a_stop_tells_what_is_not_told_yet() -> None:
    async def test(log: Log, _clocks: Clocks, denials: Denials) -> None:
        for _ in range(3):
            denials.refused(caller(), REFUSAL)
        task = asyncio.create_task(denials.run())
        denials.stop()
        await task
        await denials.flush()
        assert log.counts == [("eve", 1), ("eve", 2)]
        await denials.flush()
        assert len(log.told) == 2

    run(test)
