"""What the page on cost computes follows from the bounds of the service, and from the prices that it states."""

from __future__ import annotations

from math import ceil

from server.audit_log.cuts import CutLimits
from server.audit_log.scrub.scrubbing import LOOK_SECONDS
from server.config import ScrubSection
from tests.docs.walk import ROOT

PAGE = (ROOT / "docs" / "cost.md").read_text()
PUT, GET, GB_MONTH = 0.005 / 1000, 0.0004 / 1000, 0.023
DAYS, YEAR = 30, 365
SENT, LISTED = 370, 1000
LIMITS = CutLimits()


def batches(events: int) -> int:
    """Of a day in each of whose minutes there are events."""
    return max(86_400_000 // LIMITS.external_age_ms, ceil(events / LIMITS.events), ceil(events * SENT / LIMITS.bytes))


def row(events: int) -> str:
    each_day = batches(events)
    stored_gb = events * YEAR * SENT / 3 / 1e9
    looks = YEAR * ceil(each_day / LISTED) * DAYS * 86_400 / LOOK_SECONDS
    checksums = each_day * YEAR * DAYS * 86_400 / ScrubSection().period_seconds
    costs = (2 * each_day * DAYS * PUT, stored_gb * GB_MONTH, looks * PUT, checksums * GET)
    put, storing, looking, checking = (f"${cost:,.2f}" for cost in costs)
    size = f"{stored_gb:,.1f} GB" if stored_gb < 10 else f"{stored_gb:,.0f} GB"
    return f"| {events:,} | {each_day:,} | {put} | {size} | {storing} | {looking} | {checking} |"


def test_each_row_is_what_the_prices_and_the_bounds_make() -> None:
    shown = [line for line in PAGE.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert shown == [row(events) for events in (100_000, 1_000_000, 10_000_000, 50_000_000)]


def test_the_prices_and_bounds_that_the_rows_are_made_of_are_told() -> None:
    told = (
        f"${PUT * 1000:.3f} for 1,000 PUT",
        f"${GET * 1000:.4f} for 1,000 GET",
        f"${GB_MONTH} for a GB",
        f"events of {SENT} bytes",
        f"at {LIMITS.events:,} events or at {LIMITS.bytes // 2**20} MiB",
        "a month of 30 days",
    )
    assert [words for words in told if words not in PAGE] == []
