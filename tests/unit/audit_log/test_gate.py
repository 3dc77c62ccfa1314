"""The gate closes before quota and floor are passed, and says which of them it is."""

from __future__ import annotations

import pytest

from server.audit_log.gate import OWN_RESERVE_BYTES, IntakeGate
from server.errors import ResourceExhausted

MIB = 2**20
QUOTA = 100 * MIB
FLOOR = 64 * MIB


def gate(journal_bytes: int = 0, free_bytes: int = 1024 * MIB, floor: int = FLOOR) -> IntakeGate:
    gate = IntakeGate(QUOTA, floor)
    gate.observe(journal_bytes, free_bytes)
    return gate


def refusal(gate: IntakeGate, size: int = 1, *, own: bool = False) -> str:
    try:
        gate.admit(size, own=own)
    except ResourceExhausted as error:
        return error.reason if error.retry_after else "no time to try again"
    return ""


@pytest.mark.parametrize(
    ("journal_bytes", "free_bytes", "problem"),
    [
        (0, 1024 * MIB, ""),
        (QUOTA, 1024 * MIB, ""),
        (QUOTA + 1, 1024 * MIB, "journal_full"),
        (0, FLOOR, ""),
        (0, FLOOR - 1, "disk_floor"),
        (QUOTA + 1, FLOOR - 1, "journal_full"),
    ],
)
def test_quota_and_floor(journal_bytes: int, free_bytes: int, problem: str) -> None:
    there = gate(journal_bytes, free_bytes)
    assert there.problem == problem
    assert refusal(there).lower() == problem


def test_a_burst_between_two_looks_does_not_outrun_the_quota() -> None:
    there = gate(QUOTA - 10 * MIB)
    assert sum(refusal(there, MIB) == "" for _ in range(1000)) == 11
    assert there.problem == "journal_full"


def test_a_burst_counts_twice_against_the_floor_since_batches_are_written_too() -> None:
    there = gate(0, FLOOR + 10 * MIB)
    assert sum(refusal(there, MIB) == "" for _ in range(1000)) == 6
    assert there.problem == "disk_floor"


def test_what_is_refused_does_not_count() -> None:
    there = gate(QUOTA + 1)
    for _ in range(10):
        refusal(there, QUOTA)
    there.observe(0, 1024 * MIB)
    assert refusal(there) == ""


def test_it_opens_again_when_there_is_room() -> None:
    there = gate(QUOTA + 1)
    assert refusal(there) == "JOURNAL_FULL"
    there.observe(QUOTA, 1024 * MIB)
    assert refusal(there) == ""


def test_before_the_first_look_a_little_is_let_in_and_no_more() -> None:
    there = IntakeGate(QUOTA, FLOOR)
    assert refusal(there) == ""
    assert refusal(there) == "DISK_FLOOR"


@pytest.mark.parametrize(("journal_bytes", "free_bytes"), [(QUOTA + 1, 1024 * MIB), (0, FLOOR - 1)])
def test_own_events_have_a_reserve(journal_bytes: int, free_bytes: int) -> None:
    there = gate(journal_bytes, free_bytes)
    assert refusal(there, own=True) == ""
    assert refusal(there) != ""


def test_the_reserve_is_used_up_once_and_not_at_every_look() -> None:
    """Else whoever reads on and on would fill the disk with traces."""
    there = gate(QUOTA + OWN_RESERVE_BYTES + 1)
    assert refusal(there, own=True) == "JOURNAL_FULL"
    there = gate(0, FLOOR - OWN_RESERVE_BYTES - 1)
    assert refusal(there, own=True) == "DISK_FLOOR"


def test_the_reserve_leaves_half_of_a_small_floor() -> None:
    assert refusal(gate(0, MIB, floor=2 * MIB), own=True) == ""
    assert refusal(gate(0, MIB - 1, floor=2 * MIB), own=True) == "DISK_FLOOR"


def test_what_was_let_in_but_not_yet_written_is_not_forgotten_by_new_facts() -> None:
    """The facts were gathered before it reached the disk, so they can't show it."""
    gate = IntakeGate(QUOTA, 0)
    gate.observe(0, 1024 * MIB)
    written = gate.admitted
    gate.admit(QUOTA)
    gate.observe(0, 1024 * MIB, written)
    gate.admit(1)
    assert gate.problem == "journal_full"


@pytest.mark.parametrize(("journal_bytes", "let_in", "half"), [(QUOTA // 2 - 2, 1, False), (QUOTA // 2 - 2, 2, True)])
def test_it_is_half_full_with_what_was_let_in_since(journal_bytes: int, let_in: int, half: bool) -> None:
    there = gate(journal_bytes)
    there.admit(let_in)
    assert there.is_half_full is half
