"""The writer of the journal: groups, cuts, and what each submission is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from server.audit_log.cuts import CutLimits
from server.audit_log.journal.journal import Journal, JournalClosed
from server.audit_log.known_uids import KnownUids, UidLimits
from server.audit_log.log_writer import LogWriter, Submission
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.tail import Tail
from server.audit_log.timestamps import DAY_MS, format_rfc3339
from server.audit_log.validation import Validator, joined_payloads
from server.errors import AuditStoreError, Unavailable, Violation
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import PLACES
from tests.unit.audit_log.emitters import USER

LOG = "0" * 20
NOON = 1_795_000_000_000
EVENT_BYTES = 120
VALIDATOR = Validator(b"secret", 2**20)


@dataclass
class Rig:
    limits: CutLimits = field(default_factory=CutLimits)
    files: ForgetfulFiles = field(default_factory=ForgetfulFiles)
    tail: Tail = field(default_factory=Tail)
    wakes: list[None] = field(default_factory=list)

    def __post_init__(self) -> None:
        journal = Journal(self.files, PLACES.journal, LOG, 1, "default")
        self.writer = LogWriter(
            journal, self.tail, KnownUids(UidLimits()), self.limits, lambda: self.wakes.append(None)
        )

    def cuts(self) -> list[tuple[int, int]]:
        return [(pin.section.cut.first, pin.section.cut.last) for pin in self.tail.pin() if pin.section.cut]

    def syncs(self) -> int:
        return sum(operation.name == "sync" for operation in self.files.operations)

    def fail(self, after: int, operation: str, code: int = 28) -> None:
        """Let `after` operations of this name go well, and fail from then on."""
        left = [after]

        def before(number: int, name: str) -> None:
            if name == operation:
                left[0] -= 1
                if left[0] < 0:
                    raise OSError(code, "fault")

        self.files.before = before


def event(number: int, *, day: int = 0, uid: str = "") -> bytes:
    """An event of EVENT_BYTES, so many days before NOON."""
    time = format_rfc3339(NOON - day * DAY_MS)
    bare = f'{{"event":"t","uid":"{uid or f"u{number}"}","time":"{time}","n":{number},"x":""}}'
    return f'{bare[:-2]}{"x" * (EVENT_BYTES - len(bare))}"}}'.encode()


def submission(*events: bytes, received_ms: int = NOON) -> Submission:
    validated = VALIDATOR.validate(joined_payloads(events), USER, NOON)
    assert not validated.refused
    return Submission(b"[]", received_ms, validated.block)


def done(answer: BatchAcknowledgement | AuditStoreError) -> BatchAcknowledgement:
    assert isinstance(answer, BatchAcknowledgement)
    return answer


def test_submissions_that_fit_share_one_sync_and_each_gets_its_sequences() -> None:
    rig = Rig()
    rig.writer.commit([submission(event(0))])
    before = rig.syncs()
    answers = rig.writer.commit([submission(event(1), event(2)), submission(), submission(event(3))])
    assert [done(answer).sequences for answer in answers] == [[(2, 3)], [], [(4, 4)]]
    assert rig.syncs() == before + 1


def test_a_submission_with_nothing_but_refusals_costs_no_sync() -> None:
    rig = Rig()
    refused = submission()._replace(refused=[(0, [Violation("time", "wrong")])])
    (answer,) = rig.writer.commit([refused])
    assert (done(answer).refused, done(answer).sequences, rig.syncs()) == (refused.refused, [], 0)


def test_a_retry_in_the_same_group_gets_the_sequence_of_the_first() -> None:
    rig = Rig()
    answers = rig.writer.commit([submission(event(1), event(2)), submission(event(2), event(3))])
    assert done(answers[1]).repeated == [(0, "default", LOG, 2)]
    assert done(answers[1]).sequences == [(3, 3)]


def test_a_retry_of_what_is_lost_is_told_no_storage() -> None:
    """The one that is active now may be another than its first acknowledgement named."""
    rig = Rig()
    rig.writer.commit([submission(event(1))])
    rig.writer.cut()
    (pin,) = rig.tail.pin()
    rig.tail.remove(pin.section)  # and no catalogue has it
    (answer,) = rig.writer.commit([submission(event(1), event(2), event(2))])
    assert done(answer).repeated == [(0, "", LOG, 1), (2, "default", LOG, 2)]


def test_new_events_do_not_keep_alive_the_message_of_repeated_ones() -> None:
    rig = Rig()
    old = [event(1)[:-1] + b',"y":"' + b"x" * 100_000 + b'"}']
    rig.writer.commit([submission(*old)])
    rig.writer.commit([submission(*old, event(2))])
    (pin,) = rig.tail.pin()
    assert [row.event.data for row in pin.rows()] == [*old, event(2)]
    assert [len(item.block.data) < 1000 for item in pin.blocks] == [False, True]


def test_a_reused_uid_is_flagged_and_kept() -> None:
    rig = Rig()
    (answer,) = rig.writer.commit([submission(event(1, uid="u"), event(2, uid="u"))])
    assert (done(answer).sequences, done(answer).uid_reused) == ([(1, 2)], [1])


@pytest.mark.parametrize(
    ("limits", "days"),
    [(CutLimits(events=10), 1), (CutLimits(bytes=10 * EVENT_BYTES), 1), (CutLimits(dates=10), 1000)],
    ids=["events", "bytes", "dates"],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_cut_holds_what_the_limit_lets_and_no_more(limits: CutLimits, days: int, together: bool) -> None:
    rig = Rig(limits)
    submissions = [submission(*(event(3 * n + k, day=(3 * n + k) % days) for k in range(3))) for n in range(9)]
    for group in [submissions] if together else [[each] for each in submissions]:
        for answer in rig.writer.commit(group):
            done(answer)
    assert [last - first + 1 for first, last in rig.cuts()] == [9, 9]
    assert len(rig.wakes) == 2


@pytest.mark.parametrize("limits", [CutLimits(events=10), CutLimits(bytes=10 * EVENT_BYTES), CutLimits(dates=10)])
def test_one_submission_over_a_limit_is_a_cut_of_its_own(limits: CutLimits) -> None:
    rig = Rig(limits)
    large = submission(*(event(100 + n, day=n) for n in range(25)))
    answers = rig.writer.commit([submission(event(1)), large, submission(event(2))])
    assert [done(answer).sequences for answer in answers] == [[(1, 1)], [(2, 26)], [(27, 27)]]
    assert rig.cuts() == [(1, 1), (2, 26)]


def test_the_limits_that_are_shipped() -> None:
    assert CutLimits() == CutLimits(events=20_000, bytes=16 * 2**20, dates=100, age_ms=900_000)


def test_a_full_section_is_cut_at_once_and_not_with_the_next_event() -> None:
    rig = Rig(CutLimits(events=3))
    rig.writer.commit([submission(event(1), event(2), event(3))])
    assert rig.cuts() == [(1, 3)]


def test_a_section_is_cut_at_the_age_of_its_oldest_event() -> None:
    rig = Rig(CutLimits(age_ms=1000))
    rig.writer.cut_if_old(NOON)
    rig.writer.commit([submission(event(1))])
    rig.writer.commit([submission(event(2), received_ms=NOON + 900)])
    rig.writer.cut_if_old(NOON + 999)
    assert rig.cuts() == []
    rig.writer.cut_if_old(NOON + 1000)
    assert rig.cuts() == [(1, 2)]
    rig.writer.cut_if_old(NOON + 5000)
    assert rig.cuts() == [(1, 2)]


def test_a_clock_that_was_set_back_holds_up_no_cut() -> None:
    rig = Rig(CutLimits(age_ms=1000))
    rig.writer.commit([submission(event(1))])
    rig.writer.cut_if_old(NOON - 3_600_000)
    assert rig.cuts() == [(1, 1)]
    rig.writer.commit([submission(event(2), received_ms=NOON - 3_600_000)])
    rig.writer.cut_if_old(NOON - 3_600_000 + 999)
    assert rig.cuts() == [(1, 1)], "what came since is cut at its age again"


def test_when_a_later_group_fails_the_earlier_ones_stay_acknowledged() -> None:
    rig = Rig(CutLimits(events=2))
    rig.fail(3, "append")  # the header, the first group and its cut
    groups = [submission(event(1), event(2)), submission(event(3), event(4)), submission(event(5))]
    answers = rig.writer.commit(groups)
    assert done(answers[0]).sequences == [(1, 2)]
    assert all(isinstance(answer, Unavailable) for answer in answers[1:])
    rig.files.before = lambda number, name: None
    again = rig.writer.commit(groups)
    assert done(again[0]).repeated == [(0, "default", LOG, 1), (1, "default", LOG, 2)]
    assert [done(answer).sequences for answer in again[1:]] == [[(3, 4)], [(5, 5)]], "what failed was never known"


def test_what_was_committed_stays_acknowledged_when_its_cut_fails_and_the_cut_is_tried_again() -> None:
    rig = Rig(CutLimits(events=2))
    rig.fail(2, "append")  # the header and the group
    (answer,) = rig.writer.commit([submission(event(1), event(2))])
    assert (done(answer).sequences, rig.cuts()) == ([(1, 2)], [])
    (refused,) = rig.writer.commit([submission(event(3))])
    assert isinstance(refused, Unavailable)
    rig.files.before = lambda number, name: None
    (answer,) = rig.writer.commit([submission(event(3))])
    assert (done(answer).sequences, rig.cuts()) == ([(3, 3)], [(1, 2)])


def test_after_a_failed_sync_nothing_is_taken_and_what_was_there_is_there() -> None:
    rig = Rig()
    rig.writer.commit([submission(event(1))])
    rig.fail(0, "sync", 5)
    for _ in range(2):
        answers = rig.writer.commit([submission(event(2)), submission(event(3))])
        assert all(isinstance(answer, JournalClosed) for answer in answers)
    rig.files.before = lambda number, name: None
    (answer,) = rig.writer.commit([submission(event(2))])
    assert isinstance(answer, JournalClosed)
    assert [row.sequence for pin in rig.tail.pin() for row in pin.rows()] == [1]


def test_a_fault_right_after_uids_were_claimed_leaves_nothing_known_that_is_not_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fault(*args: object) -> None:
        raise MemoryError

    rig = Rig()
    group = [submission(event(1)), submission(event(2), event(3, uid="u2"))]
    with monkeypatch.context() as patch:
        patch.setattr("server.audit_log.log_writer.LogWriter._take_claims", fault)
        with pytest.raises(MemoryError):
            rig.writer.commit(group)
    answers = rig.writer.commit(group)
    assert [(done(answer).repeated, done(answer).sequences) for answer in answers] == [([], [(1, 1)]), ([], [(2, 3)])]


def test_a_fault_while_sequences_are_given_leaves_nothing_known_that_is_not_stored() -> None:
    rig = Rig()
    faulty = submission(event(2))._replace(receipt=None)  # type: ignore[arg-type]  # the fault
    with pytest.raises(TypeError):
        rig.writer.commit([submission(event(1)), faulty])
    (answer,) = rig.writer.commit([submission(event(1))])
    assert (done(answer).repeated, done(answer).sequences) == ([], [(1, 1)])
