"""The walk in the background: what it found, and when it last came to its end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from server.doctor.data_at_hand import DataAtHand, unreadable_state
from server.doctor.findings import Fact, Fault, Severity, Told
from server.state.database import StateFault

FOUND: Final = Fault(
    "scrub_finding",
    Severity.ERROR,
    "The service found an object missing, changed, unlisted or unreadable while it ran.",
    "Do what the checks `storage`, `records` and `recordings` say of such an object. In a bucket with versions the one "
    "that was stored can be brought back. The service looks again every hour and forgets what is right again.",
)
LATE: Final = Fault(
    "scrub_late",
    Severity.WARNING,
    "The walk through the storage takes more than three times scrub.period_seconds.",
    "Raise scrub.max_bytes_per_second, or make the period longer if it need not be faster; look at what keeps the "
    "service busy.",
)

FAULTS: Final = (FOUND, LATE)


def check(at: DataAtHand) -> Told:
    """Look at what the walk keeps."""
    try:
        walk, damage = at.state.damage_found().walk(), at.state.damage_found().all()
    except StateFault as fault:
        raise unreadable_state() from fault
    for each in damage:
        moment = datetime.fromtimestamp(each.found_ms / 1000, UTC)
        where = each.name if each.storage == at.recordings.storage_id else f"{each.name} of storage {each.storage}"
        yield FOUND.of(where, f"{each.kind} since {moment:%Y-%m-%d %H:%M} UTC: {each.detail}")
    if walk.passed_ms is not None:
        yield Fact("last whole walk", f"{datetime.fromtimestamp(walk.passed_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC")
    since_ms = max(walk.begun_ms, walk.passed_ms or 0)
    if since_ms and at.is_served() and at.now_ms - since_ms > 3000 * at.config.scrub.period_seconds:
        yield LATE.of("scrub", f"the last one ended or began {(at.now_ms - since_ms) // 86_400_000} days ago")
