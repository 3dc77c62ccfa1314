"""What is known of a uid: a retry gets its first place, another event under the uid is flagged, and nothing else is."""

from __future__ import annotations

from server.audit_log.known_uids import Claim, KnownUid, KnownUids, UidLimits

LOG = "0" * 20
OTHER_LOG = "1" * 20
HOUR_MS = 3_600_000
NEW = Claim(None, False)
REUSED = Claim(None, True)


def fingerprint(number: int) -> bytes:
    return number.to_bytes(16, "big")


def table(minimum: int = 1000, bound: int = 2000, hours: float = 24, generation: int = 10) -> KnownUids:
    return KnownUids(UidLimits(minimum, bound, hours, generation))


def claim(known: KnownUids, uid: str, print_: int, sequence: int, ms: int = 0, log_id: str = LOG) -> Claim:
    return known.claim(uid, fingerprint(print_), log_id, sequence, ms)


def test_a_retry_gets_its_first_place_and_adds_nothing() -> None:
    known = table()
    assert claim(known, "u", 1, 5) == NEW
    for sequence in (6, 7):
        assert claim(known, "u", 1, sequence) == Claim((LOG, 5), True)
    assert len(known) == 1


def test_another_event_under_a_known_uid_is_flagged_and_known_from_then_on() -> None:
    known = table()
    claim(known, "u", 1, 5)
    assert claim(known, "u", 2, 6) == REUSED
    assert claim(known, "u", 3, 7) == REUSED
    assert claim(known, "u", 2, 8) == Claim((LOG, 6), True)
    assert claim(known, "u", 3, 8) == Claim((LOG, 7), True)
    assert claim(known, "u", 1, 8) == Claim((LOG, 5), True)


def test_equal_bytes_under_another_uid_are_another_event() -> None:
    known = table()
    claim(known, "u", 1, 5)
    assert claim(known, "v", 1, 6) == NEW


def test_places_keep_log_and_large_sequences_apart() -> None:
    known = table()
    claim(known, "u", 1, 2**47, log_id=LOG)
    claim(known, "v", 2, 1, log_id=OTHER_LOG)
    assert claim(known, "u", 1, 9) == Claim((LOG, 2**47), True)
    assert claim(known, "v", 2, 9) == Claim((OTHER_LOG, 1), True)


def test_a_claim_that_was_taken_back_was_never_made() -> None:
    known = table()
    claim(known, "u", 1, 5)
    known.forget("u", LOG, 5)
    assert claim(known, "u", 1, 6) == NEW
    assert len(known) == 1


def test_taking_back_one_of_several_events_under_a_uid_leaves_the_others() -> None:
    known = table()
    for print_, sequence in ((1, 5), (2, 6), (3, 7)):
        claim(known, "u", print_, sequence)
    known.forget("u", LOG, 6)
    assert claim(known, "u", 1, 9) == Claim((LOG, 5), True)
    assert claim(known, "u", 3, 9) == Claim((LOG, 7), True)
    assert claim(known, "u", 2, 9) == REUSED
    assert len(known) == 3


def test_taking_back_what_is_of_another_log_or_sequence_does_nothing() -> None:
    known = table()
    claim(known, "u", 1, 5)
    known.forget("u", OTHER_LOG, 5)
    known.forget("u", LOG, 6)
    known.forget("v", LOG, 5)
    assert claim(known, "u", 1, 9) == Claim((LOG, 5), True)


def test_a_claim_of_an_older_generation_can_be_taken_back() -> None:
    known = table(generation=2)
    for number in range(6):
        claim(known, f"u{number}", number, number)
    known.forget("u0", LOG, 0)
    assert claim(known, "u0", 0, 9) == NEW


def known_of(known: KnownUids, numbers: range) -> list[int]:
    """Which of these are known still; asking leaves the table as it was."""
    found = []
    for number in numbers:
        if claim(known, f"u{number}", number, 10**6 + number).first is None:
            known.forget(f"u{number}", LOG, 10**6 + number)
        else:
            found.append(number)
    return found


def test_the_latest_uids_are_kept_however_old_they_are() -> None:
    known = table(minimum=50, bound=100, hours=0, generation=10)
    for number in range(200):
        claim(known, f"u{number}", number, number, ms=number * HOUR_MS)
    assert set(range(150, 200)) <= set(known_of(known, range(200)))
    assert len(known) <= 50 + 2 * 10


def test_young_uids_are_kept_up_to_the_bound() -> None:
    known = table(minimum=10, bound=100, hours=24, generation=10)
    for number in range(300):
        claim(known, f"u{number}", number, number, ms=number)
    assert 100 - 10 <= len(known) <= 100 + 10
    assert set(range(210, 300)) <= set(known_of(known, range(300)))


def test_uids_beyond_the_minimum_go_once_they_are_old() -> None:
    known = table(minimum=10, bound=1000, hours=24, generation=10)
    for number in range(100):
        claim(known, f"u{number}", number, number, ms=0)
    assert len(known) == 100
    for number in range(100, 120):
        claim(known, f"u{number}", number, number, ms=24 * HOUR_MS + 1)
    assert 10 <= len(known) <= 30


def test_adding_what_is_known_changes_nothing() -> None:
    known = table()
    entry = KnownUid("u", fingerprint(1), 5, LOG, 0)
    known.add(entry)
    known.add(entry)
    assert len(known) == 1
    assert claim(known, "u", 1, 9) == Claim((LOG, 5), True)
