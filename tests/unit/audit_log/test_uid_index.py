"""The compiled table of known uids against a plain list that is looked through from end to end."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from server.audit_log import known_uids
from server.audit_log.columns.layout import COLUMNS, FINGERPRINT, UID_KEY, Table
from server.audit_log.known_uids import Claims, KnownUids, UidLimits, uid_entries

HOUR_MS = 3_600_000
LOGS = ["a" * 20, "b" * 20, "c" * 20]
Known = tuple[int, int, int]
"""Key of the uid, and both halves of the fingerprint."""


@dataclass
class PlainUids:
    """What the table is to do."""

    limits: UidLimits
    entries: list[tuple[Known, str, int, int]] = field(default_factory=list)
    """With log, sequence and ms."""

    def claim(self, events: list[Known], log_id: str, sequence: int, ms: int) -> Claims:
        self.forget_oldest(ms)
        repeated, reused = {}, []
        for index, event in enumerate(events):
            alike = [(log, number) for known, log, number, _ in self.entries if known == event]
            if alike:
                repeated[index] = alike[0]
                continue
            if any(known[0] == event[0] for known, *_ in self.entries):
                reused.append(index)
            self.entries.append((event, log_id, sequence, ms))
            sequence += 1
        return Claims(repeated, reused)

    def forget(self, count: int) -> None:
        del self.entries[len(self.entries) - count :]

    def forget_oldest(self, ms: int) -> None:
        limits, before_ms = self.limits, ms - int(self.limits.hours * HOUR_MS)
        while len(self.entries) > limits.minimum and (
            len(self.entries) > limits.bound or self.entries[0][3] < before_ms
        ):
            del self.entries[0]


def table_of(events: list[Known]) -> Table:
    table = np.zeros((len(events), COLUMNS), np.int64)
    for row, (key, low, high) in zip(table, events, strict=True):
        row[UID_KEY], row[FINGERPRINT], row[FINGERPRINT + 1] = key, low, high
    return table


KEYS = {
    "one": lambda chance: 7,
    "few": lambda chance: chance.randrange(12),
    "one place": lambda chance: chance.randrange(40) << 40,
    "all at the end": lambda chance: -1 - (chance.randrange(30) << 50) - chance.randrange(3),
    "many": lambda chance: chance.randrange(-(2**63), 2**63),
}
"""Keys of uids: such as come again, such as have one place in the index, such as wrap around its end."""


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("first_room", [4, 7, 64])
@pytest.mark.parametrize("limits", [UidLimits(10, 25, 1), UidLimits(30, 30, 0), UidLimits(1, 300, 2)], ids=str)
def test_the_table_does_what_a_plain_one_does(
    kind: str, first_room: int, limits: UidLimits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_uids, "_FIRST_ROOM", first_room)
    chance = random.Random(f"{kind}{first_room}{limits}")
    known, plain = KnownUids(limits), PlainUids(limits)
    ms, sequence = 0, 1
    recent: list[Known] = []
    for _ in range(700):
        events: list[Known] = []
        for _ in range(chance.choice([0, 1, 1, 2, 3, 9])):
            again = chance.randrange(3)
            if recent and again == 0:
                events.append(chance.choice(recent[-40:]))
            elif recent and again == 1:
                events.append((chance.choice(recent[-40:])[0], chance.randrange(3), chance.randrange(-1, 2)))
            else:
                events.append((KEYS[kind](chance), chance.randrange(-500, 500), chance.randrange(2)))
        recent += events
        ms += chance.choice([0, 1, HOUR_MS // 7])
        log_id, before = chance.choice(LOGS), len(plain.entries)
        assert known.claim(table_of(events), log_id, sequence, ms) == plain.claim(events, log_id, sequence, ms)
        assert len(known) == len(plain.entries)
        new = sum(entry[2] >= sequence for entry in plain.entries)
        if chance.randrange(5) == 0:
            count = chance.choice([new, new, min(new, 1)])
            known.forget(count)
            plain.forget(count)
            assert len(known) == len(plain.entries) >= min(before, limits.minimum)
        sequence += 10
    assert known._ends[0] > 3 * first_room, "the ring must have gone round"
    assert known._logs == sorted(set(known._logs), key=known._logs.index), "each log is kept once"


def test_an_older_entry_of_one_uid_is_not_taken_for_the_newest_of_another() -> None:
    known = KnownUids(UidLimits())
    first = [(16, 0, 0), (16, 1, 0)]
    known.claim(table_of(first), LOGS[0], 1, 0)
    assert known.claim(table_of([(0, 5, 0)]), LOGS[0], 3, 0) == Claims({}, []), "its place is that of the fingerprint 0"
    assert known.claim(table_of([*first, (0, 5, 0)]), LOGS[1], 4, 0).repeated == {
        index: (LOGS[0], index + 1) for index in range(3)
    }


def seconds_to_claim(events: list[Known]) -> float:
    known, table = KnownUids(UidLimits()), table_of(events)
    started = time.thread_time()
    for first in range(0, len(events), 1000):
        known.claim(table[first : first + 1000], LOGS[0], first, 0)
    known.forget(len(events))
    return time.thread_time() - started


def test_a_uid_that_always_comes_again_takes_no_longer_than_new_ones() -> None:
    """It held up the journal's thread, and with it everyone, for seconds a message."""
    chance = random.Random(1)
    prints = [chance.randrange(-(2**63), 2**63) for _ in range(30_000)]
    seconds_to_claim([(1, 1, 1)])
    others = seconds_to_claim([(key, print_, 0) for key, print_ in zip(prints[::-1], prints, strict=True)])
    # Looked through from end to end it is some thousand times as long.
    assert seconds_to_claim([(7, print_, 0) for print_ in prints]) < 50 * others


def test_what_is_added_is_what_was_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_uids, "_FIRST_ROOM", 4)
    chance = random.Random(3)
    limits = UidLimits(50, 100, 1)
    claimed, added = KnownUids(limits), KnownUids(limits)
    events = [(chance.randrange(20), number, 0) for number in range(200)]
    for first in range(0, 200, 8):
        table = table_of(events[first : first + 8])
        claimed.claim(table, LOGS[first // 80], first, first)
        added.add(LOGS[first // 80], uid_entries(table, first, first))
        if chance.randrange(2):
            added.add(LOGS[2], uid_entries(table[chance.randrange(8) :], 10**6, first))
    assert len(claimed) == len(added)
    for event in chance.sample(events, 200):
        known = claimed.claim(table_of([event]), LOGS[2], 999, 200)
        assert added.claim(table_of([event]), LOGS[2], 999, 200) == known


def test_up_to_its_bound_the_table_grows_in_few_steps() -> None:
    known = KnownUids(UidLimits(150_000, 150_000))
    sizes = []
    for first in range(0, 150_000, 1000):
        table = np.zeros((1000, COLUMNS), np.int64)
        table[:, UID_KEY] = np.arange(first, first + 1000) * 0x9E3779B97F4A7C1
        known.claim(table, LOGS[0], first, first)
        sizes.append(len(known._entries))
    assert sorted(set(sizes)) == [1 << 14, 1 << 16, 150_000], "each step moves all there is"


def test_the_table_grows_with_what_it_holds_and_no_further() -> None:
    known = KnownUids(UidLimits(40_000, 40_000))
    for first in range(0, 200_000, 1000):
        numbers = np.arange(first, first + 1000)
        table = np.zeros((1000, COLUMNS), np.int64)
        table[:, UID_KEY] = table[:, FINGERPRINT] = numbers * 0x9E3779B97F4A7C1
        assert known.claim(table, LOGS[0], first, first) == Claims({}, [])
    assert 40_000 <= len(known) <= 41_000
    assert len(known._entries) < 2 * 41_000
    assert len(known._index) <= 4 * len(known._entries)
    assert np.count_nonzero(known._index) == len(known), "what leaves leaves no mark"
    assert known.claim(table, LOGS[1], 0, first).repeated[999] == (LOGS[0], 199_999)
