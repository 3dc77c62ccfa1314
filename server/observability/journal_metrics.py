"""Metrics of intake and journal."""

from __future__ import annotations

from server.observability.instruments import BYTES, DISK_SECONDS, Instruments

_EVENTS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)


class JournalMetrics:
    """Intake and journal."""

    def __init__(self, instruments: Instruments) -> None:
        emitted = instruments.counter(
            "extaudit_emitted_events_total",
            "Events by what became of them: `accepted`, `repeated`, `refused`, or `uid_reused` (kept all the same).",
            ["outcome"],
        )
        self._accepted, self._repeated, self._refused, self._reused = (
            emitted.labels(outcome) for outcome in ("accepted", "repeated", "refused", "uid_reused")
        )
        histogram, gauge = instruments.histogram, instruments.gauge
        self._commit_events = histogram("extaudit_commit_events", "Events that shared a commit.", _EVENTS)
        self._commit_bytes = histogram("extaudit_commit_bytes", "Bytes of JSON that shared a commit.", BYTES)
        self._commit_seconds = histogram(
            "extaudit_commit_seconds", "Length of commits, from the first event that waits to the answers.",
            DISK_SECONDS,
        )  # fmt: skip
        self._sync_seconds = histogram(
            "extaudit_journal_sync_seconds", "How long the disk took to sync the journal.", DISK_SECONDS
        )
        self._pending = gauge("extaudit_journal_pending_events", "Events that are not in a confirmed batch yet.")
        self._bytes = gauge("extaudit_journal_bytes", "Size of the journal on disk.")
        self._quota = gauge("extaudit_journal_quota_bytes", "Size of the journal at which the intake closes.")
        self._free = gauge("extaudit_disk_free_bytes", "Free space on the disk of the data directory.")
        self._oldest = gauge(
            "extaudit_journal_oldest_age_seconds", "Age of the oldest event that is not in a confirmed batch yet."
        )
        self._next = gauge("extaudit_journal_next_sequence", "Sequence that the next event gets, of the log in use.")
        self._torn = gauge("extaudit_journal_torn_tail_bytes", "Bytes cut off as a torn tail at the last start.")
        self._holes = instruments.counter("extaudit_journal_holes_total", "Ranges of sequences lost to damage.")
        self._holes_counted = False
        self._waiting = gauge("extaudit_intake_pending_bytes", "Bytes of events that wait for a commit.")

    def emitted(self, *, accepted: int = 0, repeated: int = 0, refused: int = 0, uid_reused: int = 0) -> None:
        """Count events, each under one outcome; one kept in spite of its reused uid is `uid_reused` alone."""
        for counter, count in (
            (self._accepted, accepted),
            (self._repeated, repeated),
            (self._refused, refused),
            (self._reused, uid_reused),
        ):
            if count:
                counter.inc(count)

    def committed(self, events: int, seconds: float, size: int) -> None:
        """Count one durable commit, of `size` bytes of JSON."""
        self._commit_events.observe(events)
        self._commit_bytes.observe(size)
        self._commit_seconds.observe(seconds)

    def synced(self, seconds: float) -> None:
        """Count one sync of the journal."""
        self._sync_seconds.observe(seconds)

    def record_state(
        self, *, pending_events: int, size: int, oldest_age_seconds: float, torn_tail_bytes: int, holes: int
    ) -> None:
        """Record how the journal is now; `size` in bytes, `holes` all that are known."""
        self._pending.set(pending_events)
        self._bytes.set(size)
        self._oldest.set(oldest_age_seconds)
        self._torn.set(torn_tail_bytes)
        # A counter, so that an alert on its increase works. Only a start finds holes, and has those of earlier runs:
        # more of them later are what is left of one that was found again in parts.
        if not self._holes_counted:
            self._holes.inc(holes)
            self._holes_counted = True

    def record_room(self, *, quota: int, free: int, waiting: int, next_sequence: int) -> None:
        """Record how much room there is and how much waits, in bytes, and the next event's sequence."""
        self._quota.set(quota)
        self._free.set(free)
        self._waiting.set(waiting)
        self._next.set(next_sequence)
