"""The one writer of the journal: known-uid check, commit, tail and cuts, in one thread.

Everything here runs on the journal's thread, so that it needs no locks; intake.py brings calls to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.audit_log.cuts import CutLimits
from server.audit_log.event import Event
from server.audit_log.journal.journal import Journal
from server.audit_log.known_uids import KnownUids
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.tail import Section, Tail, TailRow
from server.audit_log.timestamps import DAY_MS
from server.errors import AuditStoreError, Unavailable, Violation


@dataclass(slots=True)
class Submission:
    """The events of one message, from one emitter, validated."""

    receipt: bytes
    received_ms: int
    events: list[tuple[int, Event]]
    """Index in the message, and the event."""
    refused: list[tuple[int, list[Violation]]] = field(default_factory=list)
    bytes: int = field(init=False)
    """Bytes of JSON."""
    days: set[int] = field(init=False)
    """UTC days since 1970 that its events fall on."""

    def __post_init__(self) -> None:
        self.bytes = sum([len(event.data) for _, event in self.events])
        self.days = {event.time_ms // DAY_MS for _, event in self.events}


class LogWriter:
    """Makes groups of submissions durable and says what became of each."""

    def __init__(
        self, journal: Journal, tail: Tail, known: KnownUids, limits: CutLimits, on_cut: Callable[[], None]
    ) -> None:
        self.journal = journal
        self._tail = tail
        self._known = known
        self._limits = limits
        self._on_cut = on_cut
        self._section: Section | None = None

    def adopt(self, section: Section) -> None:
        """Go on with the open section that recovery found."""
        self._section = section

    @property
    def section(self) -> Section:
        """The section that takes new events."""
        if self._section is None:
            self._section = self._tail.begin(self.journal.log_id, self.journal.next_sequence, self.journal.storage)
        return self._section

    def commit(self, submissions: Sequence[Submission]) -> list[BatchAcknowledgement | AuditStoreError]:
        """Make submissions durable, with one sync for as many as fit before the next cut.

        Returns:
            For each submission its acknowledgement, or the error for which nothing of it is acknowledged.
        """
        answers: list[BatchAcknowledgement | AuditStoreError] = []
        for group in self._groups(submissions):
            try:
                answers += self._commit_group(group)
            except AuditStoreError as error:
                answers += [error] * len(group)
        return answers

    def _groups(self, submissions: Sequence[Submission]) -> list[list[Submission]]:
        """Divide so that a group overshoots the cut's limits by at most its first submission."""
        groups: list[list[Submission]] = []
        section = self.section
        events, size, days = len(section.rows), section.bytes, set(section.days)
        for submission in submissions:
            events += len(submission.events)
            size += submission.bytes
            days |= submission.days
            if not groups or self._are_over(events, size, len(days)):
                groups.append([])
                if len(groups) > 1:
                    events, size, days = len(submission.events), submission.bytes, set(submission.days)
            groups[-1].append(submission)
        return groups

    def _commit_group(self, group: Sequence[Submission]) -> list[BatchAcknowledgement]:
        if self._closes(group):
            self.cut()
        section = self.section
        rows: list[TailRow] = []
        try:
            answers = [self._number(submission, rows) for submission in group]
            if rows:
                self.journal.commit([(ms, event.fingerprint, receipt, event.data) for _, ms, receipt, event in rows])
        except BaseException:
            # Else a retry of what isn't stored would be told that it is.
            for row in rows:
                self._known.forget(row.event.uid, self.journal.log_id, row.sequence)
            raise
        if rows:
            section.extend(rows)
        if self._are_over(len(section.rows) + 1, section.bytes + 1, len(section.days)):
            # What was committed stays acknowledged whatever becomes of the cut; the next commit tries it again.
            with contextlib.suppress(Unavailable):
                self.cut()
        return answers

    def _closes(self, group: Sequence[Submission]) -> bool:
        """Whether the open section must be cut before it takes this much more."""
        section = self.section
        events = len(section.rows) + sum(len(submission.events) for submission in group)
        size = section.bytes + sum(submission.bytes for submission in group)
        days = section.days.union(*(submission.days for submission in group))
        return bool(section.rows) and self._are_over(events, size, len(days))

    def _are_over(self, events: int, size: int, dates: int) -> bool:
        limits = self._limits
        return events > limits.events or size > limits.bytes or dates > limits.dates

    def _number(self, submission: Submission, rows: list[TailRow]) -> BatchAcknowledgement:
        """Give sequences to the new events of one submission, and find its repeated ones."""
        log_id, claim = self.journal.log_id, self._known.claim
        received_ms, receipt = submission.received_ms, submission.receipt
        new_row = tuple.__new__  # half the cost of TailRow(...), for every event
        answer = BatchAcknowledgement(self.journal.storage, log_id, refused=submission.refused)
        first = sequence = self.journal.next_sequence + len(rows)
        for index, event in submission.events:
            known, reused = claim(event.uid, event.fingerprint, log_id, sequence, received_ms)
            if known is not None:
                answer.repeated.append((index, self.journal.storage, *known))
                continue
            if reused:
                answer.uid_reused.append(index)
            if event.uid_assigned:
                answer.assigned_uids.append((index, event.uid))
            rows.append(new_row(TailRow, (sequence, received_ms, receipt, event)))
            sequence += 1
        if sequence > first:
            answer.sequences.append((first, sequence - 1))
        return answer

    def cut(self) -> None:
        """Cut the open section now, if it has events."""
        section = self.section
        cut = self.journal.cut()
        if cut is not None:
            section.cut = cut
            self._section = None
            self._on_cut()

    def cut_if_old(self, now_ms: int) -> None:
        """Cut the open section if its oldest event is older than the limit."""
        oldest = self.section.oldest_received_ms
        if oldest is not None and now_ms - oldest >= self._limits.age_ms:
            self.cut()
