"""The one writer of the journal: known-uid check, commit, tail and cuts, in one thread.

Everything here runs on the journal's thread, so that it needs no locks; intake.py brings calls to it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from server.audit_log.columns.layout import Table
from server.audit_log.cuts import CutLimits
from server.audit_log.event_block import EventBlock, rows_of
from server.audit_log.journal.journal import Journal
from server.audit_log.known_uids import ALL_NEW, Claims, KnownUids
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.tail import CommitGroup, Section, Tail, TailBlock
from server.errors import AuditStoreError, Unavailable, Violation


class Submission(NamedTuple):
    """The events of one message, from one emitter, validated."""

    receipt: bytes
    received_ms: int
    block: EventBlock
    refused: Sequence[tuple[int, list[Violation]]] = ()
    """By index in the message, as is all that names an event."""
    assigned: Sequence[tuple[int, str]] = ()
    """The uids that were given to events that came without."""
    denied: int = 0
    """How many of `refused` speak for another component."""


class LogWriter:
    """Makes groups of submissions durable and says what became of each."""

    def __init__(
        self,
        journal: Journal,
        tail: Tail,
        known: KnownUids,
        limits: CutLimits,
        on_cut: Callable[[], None],
        stored_in: Callable[[str, int], str | None] = lambda log_id, sequence: None,
        on_switch: Callable[[str], None] = lambda storage: None,
    ) -> None:
        """`stored_in` gives the storage of the confirmed batch that has a log's sequence; None where none has.
        `on_switch` is told of another storage before the first event of it is committed."""
        self.journal = journal
        self._tail = tail
        self._known = known
        self.limits = limits
        """When a cut closes. Read on the journal's thread, and may be replaced from any."""
        self._on_cut = on_cut
        self._stored_in = stored_in
        self._on_switch = on_switch
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
        events, size, days = section.events, section.bytes, set(section.days)
        for submission in submissions:
            events += len(submission.block)
            size += submission.block.bytes
            days |= submission.block.days
            if not groups or self._are_over(events, size, len(days)):
                groups.append([])
                if len(groups) > 1:
                    events, size, days = len(submission.block), submission.block.bytes, set(submission.block.days)
            groups[-1].append(submission)
        return groups

    def _commit_group(self, group: Sequence[Submission]) -> list[BatchAcknowledgement]:
        if self._closes(group):
            self.cut()
        section = self.section
        claimed = self._known.claimed
        try:
            answers, blocks, table = self._number(group)
            if blocks:
                self.journal.commit(CommitGroup(blocks, table))
        except BaseException:
            # Else a retry of what isn't stored would be told that it is.
            self._known.forget(self._known.claimed - claimed)
            raise
        section.extend(blocks)
        if self._are_over(section.events + 1, section.bytes + 1, len(section.days)):
            # What was committed stays acknowledged whatever becomes of the cut; the next commit tries it again.
            with contextlib.suppress(Unavailable):
                self.cut()
        return answers

    def _closes(self, group: Sequence[Submission]) -> bool:
        """Whether the open section must be cut before it takes this much more."""
        section = self.section
        events = section.events + sum(len(submission.block) for submission in group)
        size = section.bytes + sum(submission.block.bytes for submission in group)
        days = section.days.union(*(submission.block.days for submission in group))
        return bool(section.events) and self._are_over(events, size, len(days))

    def _are_over(self, events: int, size: int, dates: int) -> bool:
        limits = self.limits
        return events > limits.events or size > limits.bytes or dates > limits.dates

    def _number(self, group: Sequence[Submission]) -> tuple[list[BatchAcknowledgement], list[TailBlock], Table]:
        """Give sequences to the new events of the group, and find its repeated ones; with the rows of the new ones.

        All of them are looked up at once: threads that hand Python's lock to each other for every message would wait
        for it most of their time.
        """
        log_id, storage, first = self.journal.log_id, self.journal.storage, self.journal.next_sequence
        table = rows_of([submission.block for submission in group])
        claims = self._known.claim(table, log_id, first, group[-1].received_ms)
        answers: list[BatchAcknowledgement] = []
        blocks: list[TailBlock] = []
        start = 0
        for submission in group:
            block, end = submission.block, start + len(submission.block)
            answer = BatchAcknowledgement(storage, log_id, [], submission.assigned, submission.refused)
            answer.denied = submission.denied
            if claims is not ALL_NEW:
                block = self._take_claims(block, claims.of(start, end), answer)
            if len(block):
                blocks.append(TailBlock(first, submission.received_ms, submission.receipt, block))
                first += len(block)
                answer.sequences.append((blocks[-1].first, first - 1))
            answers.append(answer)
            start = end
        if claims.repeated and blocks:
            table = rows_of([item.block for item in blocks])
        return answers, blocks, table

    def _take_claims(self, block: EventBlock, claims: Claims, answer: BatchAcknowledgement) -> EventBlock:
        """Say which events are repeated and which uids reused; gives the block of the new events."""
        for event, (log_id, sequence) in claims.repeated.items():
            answer.repeated.append((block.index(event), self._storage_of(log_id, sequence), log_id, sequence))
        answer.uid_reused += [block.index(event) for event in claims.reused]
        return block.only(claims.new(len(block))).compacted() if claims.repeated else block

    def _storage_of(self, log_id: str, sequence: int) -> str:
        """The storage that the first acknowledgement of an event named; '' where nothing says it any more."""
        # In this order: what leaves the tail is in the catalogue.
        found = self._tail.storage_of(log_id, sequence) or self._stored_in(log_id, sequence)
        is_of_the_group = log_id == self.journal.log_id and sequence >= self.journal.next_sequence
        return found or (self.journal.storage if is_of_the_group else "")

    def switch(self, storage: str) -> None:
        """Have events from here on belong to another storage; durable when it returns.

        What was committed stays where its acknowledgements say.

        Raises:
            Unavailable: it couldn't be written; events belong where they did.
        """
        if storage == self.journal.storage:
            return
        self.cut()
        empty = self._section
        self.journal.mark(storage)
        if empty is not None:  # of the storage before, with nothing in it
            self._tail.drop(empty)
            self._section = None
        self._on_switch(storage)

    def cut(self) -> None:
        """Cut the open section now, if it has events."""
        section = self.section
        cut = self.journal.cut()
        if cut is not None:
            section.cut = cut
            self._section = None
            self._on_cut()

    def cut_if_old(self, now_ms: int) -> None:
        """Cut the open section if its oldest event is older than the limit, or of the future: the clock was set back
        then, and nothing tells how old it is."""
        oldest = self.section.oldest_received_ms
        if oldest is not None and not 0 <= now_ms - oldest < self.limits.age_in(self.journal.storage):
            self.cut()
