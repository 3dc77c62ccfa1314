"""Keys of an issuer over time: fetched again, asked for, kept, dropped."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from server.tokens.issuer_keys import (
    MAX_AGE_SECONDS,
    MAX_WAITING,
    REFRESH_SECONDS,
    RETRY_SECONDS,
    UNKNOWN_KEY_SECONDS,
    HeldKey,
    IssuerKeys,
)
from server.tokens.jwks import JwksProblem
from server.tokens.sources import FETCH_SECONDS
from tests.loops import in_loop, until
from tests.tokens_builder import ISSUER, KeySetNotes, MemorySource, ec_key, jwks

ONE, TWO = ec_key("one"), ec_key("two")


@dataclass
class Rig:
    """An issuer's keys, where they come from, and the time."""

    source: MemorySource = field(default_factory=lambda: MemorySource(jwks(ONE)))
    now: float = 1_000.0
    notes: KeySetNotes = field(default_factory=KeySetNotes)

    def __post_init__(self) -> None:
        self.keys = IssuerKeys(ISSUER, self.source, self.notes, clock=lambda: self.now)

    def held(self, key_id: str = "one") -> HeldKey:
        [held] = self.keys.find(key_id)
        return held


@dataclass
class SlowSource(MemorySource):
    """Answers when it is released."""

    release: asyncio.Event = field(default_factory=asyncio.Event)
    asked: bool = False

    async def read(self) -> bytes:
        self.asked = True
        await self.release.wait()
        return await super().read()


@in_loop
async def test_no_key_counts_before_the_first_fetch() -> None:
    rig = Rig()
    assert rig.keys.stale
    assert rig.keys.find("one") == ()
    assert rig.keys.state() == (ISSUER, (), None, "not fetched yet")
    await rig.keys.refresh()
    assert rig.held().key.key_id == "one"
    assert rig.keys.state()[:2] == (ISSUER, ("one",))
    assert rig.keys.state().problem == ""


@in_loop
async def test_a_key_that_stays_is_the_same_key_and_one_that_comes_back_is_another() -> None:
    rig = Rig()
    await rig.keys.refresh()
    first = rig.held()
    rig.source.document = jwks(ONE, TWO)
    await rig.keys.refresh()
    assert rig.held() is first
    rig.source.document = jwks(TWO)
    await rig.keys.refresh()
    assert not rig.keys.holds(first)
    rig.source.document = jwks(ONE, TWO)
    await rig.keys.refresh()
    assert not rig.keys.holds(first)
    assert rig.held().generation > first.generation


@in_loop
async def test_another_key_under_the_same_id_is_another_key() -> None:
    rig = Rig()
    await rig.keys.refresh()
    first = rig.held()
    rig.source.document = jwks(ec_key("one"))
    await rig.keys.refresh()
    assert not rig.keys.holds(first)
    assert rig.held().key.thumbprint != first.key.thumbprint


@in_loop
async def test_a_failed_fetch_keeps_the_keys_until_they_are_too_old() -> None:
    rig = Rig()
    await rig.keys.refresh()
    first = rig.held()
    for document in (JwksProblem("the key set's server can't be reached"), b"<html>"):
        rig.source.document = document
        await rig.keys.refresh()
        assert rig.keys.holds(first)
        assert rig.keys.state().problem
    rig.now += MAX_AGE_SECONDS - 0.1
    assert rig.keys.holds(first)
    rig.now += 0.1
    assert rig.keys.stale
    assert not rig.keys.holds(first)
    assert rig.keys.state().key_ids == ()
    rig.source.document = jwks(ONE)
    await rig.keys.refresh()
    assert rig.keys.holds(first)


@in_loop
async def test_a_fault_while_keys_are_read_is_a_failed_fetch_and_no_more() -> None:
    rig = Rig()
    await rig.keys.refresh()
    rig.source.document = RuntimeError("a fault")
    await rig.keys.refresh()
    assert rig.keys.state().problem == "the key set can't be read"
    assert rig.held()
    rig.source.document = jwks(TWO)
    await rig.keys.refresh()
    assert rig.keys.state().problem == ""


def test_a_vanished_key_is_dropped_within_ten_minutes_whatever_fails() -> None:
    assert MAX_AGE_SECONDS + FETCH_SECONDS <= 600
    # Between two fetches that go well there is room for two that don't.
    assert REFRESH_SECONDS + 2 * (FETCH_SECONDS + RETRY_SECONDS) + FETCH_SECONDS < MAX_AGE_SECONDS


@in_loop
async def test_the_age_of_keys_counts_from_the_beginning_of_their_fetch() -> None:
    source = SlowSource(jwks(ONE))
    rig = Rig(source)
    fetch = asyncio.ensure_future(rig.keys.refresh())
    await until(lambda: source.asked)
    rig.now += 9
    source.release.set()
    await fetch
    rig.now += MAX_AGE_SECONDS - 9
    assert rig.keys.stale


@in_loop
async def test_an_issuer_that_publishes_no_key_any_more_has_none() -> None:
    rig = Rig()
    await rig.keys.refresh()
    rig.source.document = b'{"keys": []}'
    await rig.keys.refresh()
    assert not rig.keys.stale
    assert rig.keys.find("one") == ()


@in_loop
async def test_an_unknown_key_is_asked_for_at_most_every_thirty_seconds() -> None:
    rig = Rig()
    await rig.keys.refresh()
    rig.source.document = jwks(ONE, TWO)
    await rig.keys.ask_for("two")
    assert rig.held("two")
    assert rig.source.reads == 2
    for _ in range(50):
        await rig.keys.ask_for("three")
    assert rig.source.reads == 2
    rig.now += UNKNOWN_KEY_SECONDS - 0.1
    await rig.keys.ask_for("three")
    assert rig.source.reads == 2
    rig.now += 0.2
    await rig.keys.ask_for("three")
    assert rig.source.reads == 3


@in_loop
async def test_all_that_ask_at_once_wait_for_one_fetch_and_only_so_many_wait() -> None:
    rig = Rig(SlowSource(jwks(TWO)))
    waiting = [asyncio.ensure_future(rig.keys.ask_for("two")) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    await rig.keys.ask_for("two")
    assert not any(each.done() for each in waiting)
    rig.source.release.set()  # type: ignore[attr-defined]
    await asyncio.gather(*waiting)
    assert (rig.source.reads, rig.held("two").key.key_id) == (1, "two")


@in_loop
async def test_who_waits_for_a_slow_issuer_waits_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.tokens.issuer_keys.UNKNOWN_KEY_WAIT_SECONDS", 0.01)
    rig = Rig(SlowSource(jwks(TWO)))
    await rig.keys.ask_for("two")
    assert rig.keys.find("two") == ()
    rig.source.release.set()  # type: ignore[attr-defined]
    await until(lambda: rig.keys.find("two"))


@in_loop
async def test_a_call_that_is_cancelled_while_it_waits_does_not_end_the_fetch() -> None:
    rig = Rig(SlowSource(jwks(TWO)))
    call = asyncio.ensure_future(rig.keys.ask_for("two"))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    rig.source.release.set()  # type: ignore[attr-defined]
    await until(lambda: rig.keys.find("two"))


@in_loop
async def test_keys_are_fetched_again_and_again() -> None:
    source = MemorySource(jwks(ONE))
    keys = IssuerKeys(ISSUER, source, KeySetNotes(), refresh_seconds=0.005)
    running = asyncio.ensure_future(keys.run())
    await until(lambda: source.reads > 3)
    source.document = jwks(TWO)
    await until(lambda: keys.find("two") and not keys.find("one"))
    source.document = JwksProblem("no")
    await until(lambda: keys.state().problem)
    source.document = jwks(ONE)
    await until(lambda: keys.find("one"))
    running.cancel()


@in_loop
async def test_changes_are_told_and_a_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "server")
    rig = Rig()
    await rig.keys.refresh()
    await rig.keys.refresh()
    rig.source.document = jwks(TWO)
    await rig.keys.refresh()
    assert rig.notes.told == [("reloaded", "one"), ("reloaded", "two")]
    rig.source.document = JwksProblem("the key set's server can't be reached")
    await rig.keys.refresh()
    await rig.keys.refresh()
    assert [record.message for record in caplog.records if record.name == "server.tokens.issuer_keys"] == [
        "an issuer's keys have changed",
        "an issuer's keys have changed",
        "an issuer's keys can't be fetched",
    ]


UNREACHABLE = "the key set's server can't be reached"
NO_KEY_SET = "the key set is not a JSON object with a list of keys"


@in_loop
async def test_failures_are_told_once_for_each_reason_with_the_keys_that_still_count_and_their_end() -> None:
    rig = Rig()
    await rig.keys.refresh()
    for document in (JwksProblem(UNREACHABLE), JwksProblem(UNREACHABLE), b"<html>", b"<html>", jwks(ONE), jwks(ONE)):
        rig.source.document = document
        await rig.keys.refresh()
    assert rig.notes.told == [
        ("reloaded", "one"),
        ("refused", "one", UNREACHABLE),
        ("refused", "one", NO_KEY_SET),
        ("reloaded", "one"),
    ]


@in_loop
async def test_keys_that_never_were_there_are_told_as_refused_and_never_as_expired() -> None:
    rig = Rig(MemorySource(JwksProblem(UNREACHABLE)))
    await rig.keys.refresh()
    rig.now += MAX_AGE_SECONDS
    await rig.keys.refresh()
    assert rig.notes.told == [("refused", UNREACHABLE)]


@in_loop
async def test_that_keys_are_too_old_is_told_once_each_time() -> None:
    rig = Rig()
    for _ in range(2):
        rig.source.document = jwks(ONE)
        await rig.keys.refresh()
        rig.source.document = JwksProblem(UNREACHABLE)
        await rig.keys.refresh()
        rig.now += MAX_AGE_SECONDS
        await rig.keys.refresh()
        await rig.keys.refresh()
    assert rig.notes.told == [("reloaded", "one"), ("refused", "one", UNREACHABLE), ("expired", "one")] * 2


@in_loop
async def test_that_keys_are_too_old_is_told_when_it_happens_and_not_with_the_next_fetch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.tokens.issuer_keys.MAX_AGE_SECONDS", 0.02)
    source, notes = MemorySource(jwks(ONE)), KeySetNotes()
    keys = IssuerKeys(ISSUER, source, notes)
    await keys.refresh()
    source.document = JwksProblem(UNREACHABLE)
    running = asyncio.ensure_future(keys.run())
    await until(lambda: ("expired", "one") in notes.told)
    running.cancel()
