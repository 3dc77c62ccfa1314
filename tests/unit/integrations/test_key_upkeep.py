"""Who looks after the keys in the running service: what fails is told and counted, and what signs goes on signing."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.errors import FailedPrecondition, Unavailable
from server.integrations.key_life import Schedule
from server.integrations.key_rotation import KeyRotation, KeyUpkeep
from server.integrations.key_wrapping import WrappingKey
from server.integrations.signing_keys import SigningKeys
from server.state.signing_keys import KeyState
from tests.loops import in_loop
from tests.unit.integrations.keys_under_test import DAY_MS, KeysUnderTest

ACCESS = Access(Identity(IdentityKind.USER, "root", frozenset({"editor"}), "anchor", "0a"), "ipv4:127.0.0.1:1", "r-1")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[KeysUnderTest]:
    rig = KeysUnderTest(tmp_path / "state.db")
    rig.keys.look_after()
    yield rig
    rig.close()


def fault(*_: object) -> None:
    raise OperationalError("SELECT", {}, sqlite3.OperationalError("database is locked"))


@in_loop
async def test_a_look_that_fails_is_told_and_counted_and_the_next_may_go_well(
    rig: KeysUnderTest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upkeep = KeyUpkeep(rig.keys, rig.meter)
    monkeypatch.setattr(rig.store, "read", fault)
    for _ in range(3):
        await upkeep.look(rig.keys)
    assert (upkeep.problem, rig.meter.failures) == ("the state database can't be read or written", 3)
    told = [record.message for record in caplog.records if record.name == "server.integrations.key_rotation"]
    assert told == ["the signing keys can't be looked after"]
    monkeypatch.undo()
    await upkeep.look(rig.keys)
    assert (upkeep.problem, rig.meter.failures) == ("", 3)


@in_loop
async def test_keys_that_can_not_be_opened_are_told_of_and_published_and_nothing_is_changed(rig: KeysUnderTest) -> None:
    """Another process with another wrapping key rotates: only the next key is its own, then the active one too."""
    other = SigningKeys(rig.store, WrappingKey(b"o" * 32), Schedule(2**60, 0), rig.meter, lambda: rig.now_ms)
    upkeep = KeyUpkeep(rig.keys, rig.meter)
    for is_signing in (True, False):
        other._known = dataclasses.replace(rig.keys.refresh(), problem="")  # as if it had opened them
        other.rotate(drop_old=False, about={})
        before = rig.rows()
        await upkeep.look(rig.keys)
        assert "the wrapping key doesn't open signing key" in upkeep.problem
        assert rig.rows() == before
        assert {key.key_id for key in rig.keys.known.published} == {key.key_id for key in before}
        with pytest.raises(Unavailable) as refused:
            await KeyRotation(rig.keys, lambda: rig.now_ms).rotate(ACCESS, drop_old=True, reason="x")
        assert "the wrapping key doesn't open all signing keys" in refused.value.message
        if is_signing:
            assert rig.tokens.token("a")
        else:
            with pytest.raises(Unavailable):
                rig.tokens.token("a")


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.NEXT])
def test_a_public_half_that_is_not_the_private_ones_is_told_and_the_key_signs_nothing(
    rig: KeysUnderTest, state: KeyState
) -> None:
    """Whoever verified by the published half would refuse every token; or take somebody else's."""
    by_state = {key.state: key for key in rig.rows()}
    other = by_state[KeyState.NEXT if state is KeyState.ACTIVE else KeyState.ACTIVE]
    changed = dataclasses.replace(by_state[state], public_key=other.public_key)
    assert rig.store.change(rig.keys.known.revision, [changed], [])
    after = rig.another()
    assert after.keys.refresh().problem == f"the private half of signing key {changed.key_id} belongs to another"
    assert (after.keys.known.signer is None) == (state is KeyState.ACTIVE)
    after.close()


@in_loop
async def test_an_upkeep_without_issuer_has_nothing_to_do_and_a_rotation_is_refused(rig: KeysUnderTest) -> None:
    upkeep = KeyUpkeep(None, rig.meter)
    upkeep.stop()
    await upkeep.run()
    with pytest.raises(FailedPrecondition) as refused:
        await KeyRotation(None, lambda: 0).rotate(ACCESS, drop_old=False, reason="")
    assert refused.value.reason == "NO_ISSUER"


@in_loop
async def test_a_rotation_gives_the_keys_newest_first_and_forgets_those_gone_for_long(rig: KeysUnderTest) -> None:
    rotation = KeyRotation(rig.keys, lambda: rig.now_ms)
    rig.now_ms += DAY_MS
    first = await rotation.rotate(ACCESS, drop_old=True, reason="leaked")
    assert first[0].state is KeyState.NEXT
    assert {key.state for key in first} == {KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRED}
    rig.now_ms += 31 * DAY_MS
    second = await rotation.rotate(ACCESS, drop_old=False, reason="")
    assert [key.state for key in second] == [KeyState.NEXT, KeyState.ACTIVE, KeyState.RETIRING]
    assert [key.created_ms for key in second] == sorted((key.created_ms for key in second), reverse=True)


@in_loop
async def test_a_state_that_fails_is_unavailable_and_tells_nothing_of_the_library(
    rig: KeysUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.store, "change", fault)
    with pytest.raises(Unavailable) as refused:
        await KeyRotation(rig.keys, lambda: rig.now_ms).rotate(ACCESS, drop_old=True, reason="leaked")
    assert (refused.value.reason, refused.value.message) == (
        "STATE_UNAVAILABLE",
        "the state database can't do it now",
    )
