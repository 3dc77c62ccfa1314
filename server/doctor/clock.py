"""The clock: whether it was set back behind what was received."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Severity, Told

_TOLERATED_MS: Final = 60_000

BEHIND: Final = Fault(
    "clock_behind",
    Severity.ERROR,
    "The clock shows an earlier time than the newest batch has: it was set back, or ran ahead before.",
    "Put the clock right and keep it so with NTP: receipts, certificates and tokens are judged by it.",
)

FAULTS: Final = (BEHIND,)


def check(at: DataAtHand) -> Told:
    """Compare the clock with what the catalogue and the issued certificates say was done."""
    times = [batch.confirmed_ms for batch in at.catalogue().batches()]
    newest = max(times, default=0)
    yield Fact("time", f"{at.now:%Y-%m-%d %H:%M:%S} UTC")
    if newest > at.now_ms + _TOLERATED_MS:
        moment = datetime.fromtimestamp(newest / 1000, UTC)
        yield BEHIND.of("clock", f"the newest batch was stored at {moment:%Y-%m-%d %H:%M:%S} UTC")
