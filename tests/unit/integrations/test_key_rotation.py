"""The life of signing keys: published before they sign and for as long as what they signed counts, whoever rotates."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from joserfc.jws import extract_compact
from sqlalchemy import event

from server.errors import Aborted, FailedPrecondition
from server.integrations import signing_keys
from server.integrations.key_life import MAX_PUBLISHED, Schedule
from server.integrations.key_making import make_key
from server.integrations.key_wrapping import WrappingKey
from server.state.outbox import Outbox
from server.state.signing_keys import KeyState
from tests.unit.integrations.keys_under_test import DAY_MS, KeysUnderTest

HOUR_MS = 3_600_000
ALWAYS = Schedule(2**60, 0)
"""The next key may sign at once, and none is old."""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[KeysUnderTest]:
    rig = KeysUnderTest(tmp_path / "state.db")
    rig.keys.look_after()
    yield rig
    rig.close()


def kid(token: str) -> str:
    return str(extract_compact(token.encode()).headers()["kid"])


def told(rig: KeysUnderTest) -> list[str]:
    """What the outbox tells, oldest first: the last word of each event's type."""
    return [json.loads(each.data)["event"].rpartition(".")[2] for each in Outbox(rig.engine).first(1_000)]


def test_the_first_look_makes_a_key_that_signs_and_one_that_is_only_published(rig: KeysUnderTest) -> None:
    states = rig.by_state()
    assert {state: len(ids) for state, ids in states.items()} == {"active": 1, "next": 1}
    assert kid(rig.tokens.token("a")) == states["active"][0]
    assert told(rig) == ["make", "activate", "make"]
    assert not [key for key in rig.rows() if key.wrapped_key in repr(key)]


def test_a_look_at_keys_that_are_as_they_should_be_changes_nothing(rig: KeysUnderTest) -> None:
    before, count = rig.rows(), len(told(rig))
    rig.now_ms += 89 * DAY_MS
    rig.keys.look_after()
    assert (rig.rows(), len(told(rig))) == (before, count)


def test_the_next_key_signs_after_a_rotation_and_the_old_one_stays_until_its_last_token_has_expired(
    rig: KeysUnderTest,
) -> None:
    states = rig.by_state()
    rig.now_ms += DAY_MS
    rig.keys.rotate(drop_old=False, about={})
    after = rig.by_state()
    assert (after["active"], after["retiring"]) == (states["next"], states["active"])
    assert after["next"] not in (states["next"], states["active"])
    assert kid(rig.tokens.token("a")) == states["next"][0]
    rig.now_ms += HOUR_MS + 599_999
    rig.keys.look_after()
    assert rig.by_state()["retiring"] == states["active"]
    rig.now_ms += 1
    rig.keys.look_after()
    assert rig.by_state()["retired"] == states["active"]
    assert states["active"][0] not in {key.key_id for key in rig.keys.known.published}
    assert told(rig)[3:] == ["replace", "activate", "make", "retire"]


def test_a_key_that_is_not_published_for_long_enough_does_not_sign(rig: KeysUnderTest) -> None:
    rig.now_ms += DAY_MS - 1
    with pytest.raises(FailedPrecondition) as refused:
        rig.keys.rotate(drop_old=False, about={})
    assert (refused.value.reason, refused.value.metadata) == ("KEY_NOT_PUBLISHED", {"seconds": "1"})
    rig.now_ms += 1
    rig.keys.rotate(drop_old=False, about={})


def test_an_old_key_is_rotated_by_itself_once_the_next_is_published_for_long_enough(rig: KeysUnderTest) -> None:
    states = rig.by_state()
    rig.now_ms += 90 * DAY_MS - 1
    rig.keys.look_after()
    assert rig.by_state() == states
    rig.now_ms += 1
    rig.keys.look_after()
    assert rig.by_state()["active"] == states["next"]
    rig.keys.schedule = Schedule(1, DAY_MS)
    rig.now_ms += DAY_MS - 1
    rig.keys.look_after()
    assert rig.by_state()["active"] == states["next"]


def test_now_drops_every_key_that_has_signed_at_once(rig: KeysUnderTest) -> None:
    rig.now_ms += DAY_MS
    rig.keys.rotate(drop_old=False, about={})
    states = rig.by_state()
    rig.keys.rotate(drop_old=True, about={})
    after = rig.by_state()
    assert sorted(after["retired"]) == sorted(states["active"] + states["retiring"])
    assert (after["active"], "retiring" in after) == (states["next"], False)
    assert {key.key_id for key in rig.keys.known.published} == {*after["active"], *after["next"]}
    assert told(rig)[-4:].count("drop") == 2


def test_a_private_half_is_gone_from_the_state_once_its_key_signs_no_more(rig: KeysUnderTest) -> None:
    """Gone from the file too, not only from the row."""
    [old] = [key.wrapped_key for key in rig.rows() if key.state is KeyState.ACTIVE]
    rig.now_ms += DAY_MS
    rig.keys.rotate(drop_old=False, about={})
    assert {key.state: bool(key.wrapped_key) for key in rig.rows()} == {
        KeyState.RETIRING: False,
        KeyState.ACTIVE: True,
        KeyState.NEXT: True,
    }
    rig.close()
    with sqlite3.connect(rig.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = rig.path.read_bytes()
    assert not [at for at in range(0, len(old) - 40, 40) if old[at : at + 40].encode() in content]


def test_as_many_keys_as_may_be_published_hold_up_a_rotation_but_not_a_drop(rig: KeysUnderTest) -> None:
    rig.keys.schedule = ALWAYS
    template = next(key for key in rig.rows() if key.state is KeyState.ACTIVE)
    retiring = [
        dataclasses.replace(
            template, key_id=f"old-{number}", state=KeyState.RETIRING, wrapped_key="", retired_ms=rig.now_ms + 1
        )
        for number in range(MAX_PUBLISHED - 2)
    ]
    assert rig.store.change(rig.keys.known.revision, retiring, [])
    with pytest.raises(FailedPrecondition) as refused:
        rig.keys.rotate(drop_old=False, about={})
    assert refused.value.reason == "KEY_NOT_PUBLISHED"
    rig.keys.schedule = Schedule(0, 0)
    rig.keys.look_after()
    assert len(rig.keys.known.published) == MAX_PUBLISHED, "by age as little as by command"
    rig.keys.schedule = ALWAYS
    rig.keys.rotate(drop_old=True, about={})
    assert len(rig.keys.known.published) == 2


def test_another_process_signs_with_the_new_key_from_its_next_token_on(rig: KeysUnderTest) -> None:
    other = rig.another()
    assert kid(other.tokens.token("a")) == kid(rig.tokens.token("a"))
    rig.keys.rotate(drop_old=True, about={})
    assert kid(other.tokens.token("a")) == kid(rig.tokens.token("a"))
    assert other.keys.known.published == rig.keys.known.published
    other.close()


def test_of_many_processes_that_begin_together_one_makes_the_keys(tmp_path: Path) -> None:
    first = KeysUnderTest(tmp_path / "state.db")
    rigs = [first, *(first.another() for _ in range(5))]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda each: each.keys.look_after(), rigs))
    assert {state: len(ids) for state, ids in first.by_state().items()} == {"active": 1, "next": 1}
    assert len({kid(each.tokens.token("a")) for each in rigs}) == 1
    for each in rigs:
        each.close()


def test_a_rotation_from_keys_that_another_has_changed_is_refused_and_changes_nothing(
    rig: KeysUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = rig.another()
    other.keys.refresh()
    real = rig.store.read

    def changed_after_reading(known: int) -> Any:
        found = real(known)
        monkeypatch.undo()
        other.keys.rotate(drop_old=True, about={})
        return found

    monkeypatch.setattr(rig.store, "read", changed_after_reading)
    with pytest.raises(Aborted):
        rig.keys.rotate(drop_old=True, about={})
    assert {state: len(ids) for state, ids in rig.by_state().items()} == {"active": 1, "next": 1, "retired": 1}
    other.close()


class Crash(Exception):
    """The process ends here."""


def test_a_rotation_that_ends_at_any_statement_has_not_begun_or_is_done(
    rig: KeysUnderTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Each statement of the transaction fails in turn: afterwards another process goes on, and every token verifies."""
    rig.close()
    whole, wrapping = rig.path, rig.wrapping
    made = [make_key(WrappingKey(wrapping), rig.now_ms) for _ in range(2)]
    for number in range(1, 50):
        shutil.copy(whole, tmp_path / f"{number}.db")
        rig = KeysUnderTest(tmp_path / f"{number}.db", wrapping, schedule=ALWAYS)
        new = iter(made)
        monkeypatch.setattr(signing_keys, "make_key", lambda *_, new=new: next(new))
        before, events = rig.rows(), told(rig)
        left = number

        def count(*_: object) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash

        for name in ("before_cursor_execute", "commit"):
            event.listen(rig.engine, name, count)
        try:
            rig.keys.rotate(drop_old=False, about={})
        except Crash:
            pass
        else:
            assert number > 5
            rig.close()
            return
        rig.close()
        next_life = rig.another()
        is_done = next_life.rows() != before
        assert is_done == (told(next_life) != events)
        assert kid(next_life.tokens.token("a")) in {key.key_id for key in next_life.keys.known.published}
        next_life.keys.rotate(drop_old=False, about={})
        assert len(next_life.by_state()["active"]) == len(next_life.by_state()["next"]) == 1
        next_life.close()
    pytest.fail("the rotation never ended")


def test_no_thread_ever_gets_a_token_of_a_key_that_is_not_published(rig: KeysUnderTest) -> None:
    rig.keys.schedule = ALWAYS

    def sign(_: int) -> bool:
        published = {key.key_id for key in rig.keys.known.published}
        used = kid(rig.tokens.token("a"))
        return used in published | {key.key_id for key in rig.keys.known.published}

    with ThreadPoolExecutor(4) as threads:
        signed = threads.map(sign, range(100))
        for _ in range(5):
            rig.keys.rotate(drop_old=False, about={})
        assert all(signed)
