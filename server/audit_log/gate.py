"""The gate: closes the intake in time, before the journal fills its quota or the disk."""

from __future__ import annotations

from server.errors import ResourceExhausted

RETRY_SECONDS = 5.0
OWN_RESERVE_BYTES = 16 * 1024 * 1024
"""What the service's own events may take beyond the limits, but for half the floor: reads leave their trace though
emitters are refused, and still never fill the disk."""


class IntakeGate:
    """Knows how full journal and disk are; asked for every submission, told of the facts a few times a second.

    Between two facts it counts what was let in, so that a burst can't outrun them.
    """

    def __init__(self, quota_bytes: int, disk_floor_bytes: int) -> None:
        self.quota_bytes = quota_bytes
        self.disk_floor_bytes = disk_floor_bytes
        """Both may be changed at any time."""
        self._journal_bytes = 0
        self._free_bytes = disk_floor_bytes
        self.admitted = 0
        """Bytes let in so far."""
        self._in_the_facts = 0

    def observe(self, journal_bytes: int, free_bytes: int, written: int | None = None) -> None:
        """Take in how large the journal is and how much the disk has left.

        `written` is how much of `admitted` was on the disk before anyone looked, and so surely is in these figures; all
        of it where it isn't given.
        """
        self._journal_bytes = journal_bytes
        self._free_bytes = free_bytes
        self._in_the_facts = self.admitted if written is None else written

    @property
    def _since(self) -> int:
        return self.admitted - self._in_the_facts

    @property
    def is_half_full(self) -> bool:
        """Whether the journal has reached half of its quota: from there on batches must leave it."""
        return 2 * (self._journal_bytes + self._since) >= self.quota_bytes

    def is_nearly_full(self, coming: int) -> bool:
        """Whether the journal, with `coming` bytes that aren't let in yet, has so little room left that those who can
        wait had better do so."""
        return self._journal_bytes + self._since + coming >= self.quota_bytes // 8 * 7

    @property
    def problem(self) -> str:
        """`journal_full`, `disk_floor` or ''."""
        return self._problem(0)

    def _problem(self, reserve: int) -> str:
        if self._journal_bytes + self._since > self.quota_bytes + reserve:
            return "journal_full"
        # What is let in is written twice before it is trimmed: to the journal and to its batch.
        if self._free_bytes - 2 * self._since < self.disk_floor_bytes - reserve:
            return "disk_floor"
        return ""

    def admit(self, size: int, *, own: bool = False) -> None:
        """Let `size` bytes in.

        Raises:
            ResourceExhausted: the intake is closed.
        """
        problem = self._problem(min(OWN_RESERVE_BYTES, self.disk_floor_bytes // 2) if own else 0)
        if problem:
            if problem == "journal_full":
                message = "the journal has reached its quota; try again later"
                raise ResourceExhausted(message, reason="JOURNAL_FULL", retry_after=RETRY_SECONDS)
            message = "the disk has less free space than its floor; try again later"
            raise ResourceExhausted(message, reason="DISK_FLOOR", retry_after=RETRY_SECONDS)
        self.admitted += size
