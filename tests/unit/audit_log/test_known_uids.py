"""What is known of a uid: a retry gets its first place, another event under the uid is flagged, and nothing else is."""

from __future__ import annotations

import numpy as np

from server.audit_log.columns.hashing import hash_keys, uid_key
from server.audit_log.columns.layout import COLUMNS, FINGERPRINT, UID_KEY, Table
from server.audit_log.known_uids import Claims, KnownUids, UidLimits, uid_entries

LOG = "0" * 20
OTHER_LOG = "1" * 20
HOUR_MS = 3_600_000
KEYS = hash_keys(b"secret", b"emitter")
NEW = Claims({}, [])
REUSED = Claims({}, [0])


def repeated(sequence: int, log_id: str = LOG) -> Claims:
    return Claims({0: (log_id, sequence)}, [])


def block(*events: tuple[str, int]) -> Table:
    """The table of events with these uids and fingerprints."""
    table = np.zeros((len(events), COLUMNS), np.int64)
    for row, (uid, print_) in zip(table, events, strict=True):
        row[UID_KEY] = uid_key(uid.encode(), KEYS)
        row[FINGERPRINT : FINGERPRINT + 2] = print_, -print_
    return table


def table(minimum: int = 1000, bound: int = 2000, hours: float = 24) -> KnownUids:
    return KnownUids(UidLimits(minimum, bound, hours))


def claim(known: KnownUids, uid: str, print_: int, sequence: int, ms: int = 0, log_id: str = LOG) -> Claims:
    return known.claim(block((uid, print_)), log_id, sequence, ms)


def test_a_retry_gets_its_first_place_and_adds_nothing() -> None:
    known = table()
    assert claim(known, "u", 1, 5) == NEW
    for sequence in (6, 7):
        assert claim(known, "u", 1, sequence) == repeated(5)
    assert len(known) == 1


def test_another_event_under_a_known_uid_is_flagged_and_known_from_then_on() -> None:
    known = table()
    claim(known, "u", 1, 5)
    assert claim(known, "u", 2, 6) == REUSED
    assert claim(known, "u", 3, 7) == REUSED
    assert claim(known, "u", 2, 8) == repeated(6)
    assert claim(known, "u", 3, 8) == repeated(7)
    assert claim(known, "u", 1, 8) == repeated(5)


def test_equal_bytes_under_another_uid_are_another_event() -> None:
    known = table()
    claim(known, "u", 1, 5)
    assert claim(known, "v", 1, 6) == NEW


def test_half_of_a_fingerprint_makes_no_retry() -> None:
    known = table()
    claim(known, "u", 1, 5)
    for column in (FINGERPRINT, FINGERPRINT + 1):
        other = block(("u", 1))
        other[0, column] = 7
        assert known.claim(other, LOG, 6, 0) == REUSED
        known.forget(1)


def test_the_events_of_a_block_are_counted_by_their_place_in_it_and_sequences_skip_retries() -> None:
    known = table()
    claim(known, "a", 1, 5)
    events = block(("b", 2), ("a", 1), ("a", 3), ("c", 4), ("c", 4), ("b", 5), ("d", 6))
    assert known.claim(events, LOG, 10, 0) == Claims({1: (LOG, 5), 4: (LOG, 12)}, [2, 5])
    again = known.claim(events, LOG, 20, 0)
    assert again == Claims(
        {0: (LOG, 10), 1: (LOG, 5), 2: (LOG, 11), 3: (LOG, 12), 4: (LOG, 12), 5: (LOG, 13), 6: (LOG, 14)}, []
    )


def test_places_keep_log_and_large_sequences_apart() -> None:
    known = table()
    claim(known, "u", 1, 2**62, log_id=LOG)
    claim(known, "v", 2, 1, log_id=OTHER_LOG)
    claim(known, "w", 3, 2, log_id=LOG)
    assert claim(known, "u", 1, 9) == repeated(2**62)
    assert claim(known, "v", 2, 9) == repeated(1, OTHER_LOG)
    assert claim(known, "w", 3, 9) == repeated(2)


def test_a_claim_that_was_taken_back_was_never_made() -> None:
    known = table()
    claim(known, "u", 1, 5)
    known.forget(1)
    assert claim(known, "u", 1, 6) == NEW
    assert len(known) == 1


def test_taking_back_one_of_several_events_under_a_uid_leaves_the_others() -> None:
    known = table()
    for print_, sequence in ((1, 5), (2, 6), (3, 7)):
        claim(known, "u", print_, sequence)
    known.forget(1)
    assert claim(known, "u", 1, 9) == repeated(5)
    assert claim(known, "u", 2, 9) == repeated(6)
    assert claim(known, "u", 3, 9) == REUSED
    assert len(known) == 3


def test_only_as_many_claims_as_are_named_are_taken_back_and_retries_were_none() -> None:
    known = table()
    claim(known, "u", 1, 5)
    known.claim(block(("v", 2), ("u", 1), ("w", 3)), LOG, 6, 0)
    known.forget(0)
    known.forget(2)
    assert claim(known, "u", 1, 9) == repeated(5)
    assert [claim(known, uid, print_, 9) for uid, print_ in (("v", 2), ("w", 3))] == [NEW, NEW]


def test_claims_that_have_left_by_age_already_need_no_taking_back() -> None:
    """A group may hold more than the table keeps; then the next ones must be remembered as ever."""
    known = table(minimum=5, bound=5)
    for first in range(0, 40, 10):
        known.claim(block(*((f"u{number}", number) for number in range(first, first + 10))), LOG, first, 0)
    known.forget(40)
    assert len(known) == 0
    assert [claim(known, f"u{number}", number, number) for number in range(40)] == [NEW] * 40
    assert claim(known, "u39", 39, 99) == repeated(39)


def known_of(known: KnownUids, numbers: range) -> list[int]:
    """Which of these are known still; asking leaves the table as it was."""
    found = []
    for number in numbers:
        if claim(known, f"u{number}", number, 10**6 + number) == NEW:
            known.forget(1)
        else:
            found.append(number)
    return found


def test_the_latest_uids_are_kept_however_old_they_are() -> None:
    known = table(minimum=50, bound=100, hours=0)
    for number in range(200):
        claim(known, f"u{number}", number, number, ms=number * HOUR_MS)
    assert known_of(known, range(200)) == list(range(149, 200))
    assert len(known) == 50 + 1


def test_young_uids_are_kept_up_to_the_bound() -> None:
    known = table(minimum=10, bound=100, hours=24)
    for number in range(300):
        claim(known, f"u{number}", number, number, ms=number)
    assert len(known) == 100 + 1
    assert set(range(200, 300)) <= set(known_of(known, range(300)))


def test_uids_beyond_the_minimum_go_once_they_are_old() -> None:
    known = table(minimum=10, bound=1000, hours=24)
    for number in range(100):
        claim(known, f"u{number}", number, number, ms=0)
    assert len(known) == 100
    claim(known, "u100", 100, 100, ms=24 * HOUR_MS)
    assert len(known) == 101, "not a moment too early"
    for number in range(101, 120):
        claim(known, f"u{number}", number, number, ms=24 * HOUR_MS + 1)
    assert known_of(known, range(120)) == list(range(100, 120))


def test_adding_what_is_known_changes_nothing() -> None:
    known = table()
    entries = uid_entries(block(("u", 1), ("v", 2), ("u", 3)), 5, 0)
    for _ in range(2):
        known.add(LOG, entries)
    assert len(known) == 3
    assert claim(known, "u", 1, 9) == repeated(5)
    assert claim(known, "v", 2, 9) == repeated(6)
    assert claim(known, "u", 3, 9) == repeated(7)
    known.add(OTHER_LOG, entries[:0])
    assert len(known) == 3


def test_what_was_added_ages_as_what_was_claimed() -> None:
    known = table(minimum=1, bound=10, hours=24)
    known.add(LOG, uid_entries(block(("u", 1), ("v", 2)), 5, 0))
    known.add(LOG, uid_entries(block(("w", 3)), 7, 24 * HOUR_MS + 1))
    assert len(known) == 2
    assert claim(known, "v", 2, 9, ms=24 * HOUR_MS + 1) == NEW
