"""What the page on cost computes follows from the bounds of the service, and from the prices that it states."""

from __future__ import annotations

import asyncio
from collections import Counter
from math import ceil
from pathlib import Path

from server.audit_log.cuts import CutLimits
from server.audit_log.scrub.scrubbing import LOOK_SECONDS
from server.config import ScrubSection
from server.recordings.uploads.parts import MIB, PartSchedule
from server.state.database import open_database
from tests.docs.walk import ROOT
from tests.memory_s3 import CloudedFiles
from tests.uploads_under_test import S3UploadsUnderTest

PAGE = (ROOT / "docs" / "cost.md").read_text()
PUT, GET, GB_MONTH = 0.005 / 1000, 0.0004 / 1000, 0.023
DAYS, YEAR = 30, 365
SENT, LISTED = 370, 1000
LIMITS = CutLimits()
LOOKS = DAYS * 86_400 / LOOK_SECONDS
WALKS = DAYS * 86_400 / ScrubSection().period_seconds
RECORDINGS, RECORDED = 1_000, 20 * MIB
"""A day, and the size of each."""
BESIDE_PARTS, HEADS = 5, 1
"""Requests of an upload."""


def batches(events: int) -> int:
    """Of a day in each of whose minutes there are events."""
    return max(86_400_000 // LIMITS.external_age_ms, ceil(events / LIMITS.events), ceil(events * SENT / LIMITS.bytes))


def row(events: int) -> str:
    each_day = batches(events)
    stored_gb = events * YEAR * SENT / 3 / 1e9
    looks = LOOKS * (ceil(YEAR / LISTED) + YEAR * ceil(each_day / LISTED) + ceil(YEAR * each_day / LISTED))
    compared = WALKS * each_day * YEAR
    costs = (2 * each_day * DAYS * PUT, stored_gb * GB_MONTH, looks * PUT, 2 * compared * GET)
    put, storing, looking, checking = (f"${cost:,.2f}" for cost in costs)
    size = f"{stored_gb:,.1f} GB" if stored_gb < 10 else f"{stored_gb:,.0f} GB"
    return f"| {events:,} | {each_day:,} | {put} | {size} | {storing} | {looking} | {checking} |"


def test_each_row_is_what_the_prices_and_the_bounds_make() -> None:
    shown = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count("|") == 8 and line[2].isdigit()]
    assert shown == [row(events) for events in (100_000, 1_000_000, 10_000_000, 50_000_000)]


def test_the_rows_of_recordings_are_too() -> None:
    month, year = RECORDINGS * DAYS, RECORDINGS * YEAR
    requests = ceil(RECORDED / PartSchedule().size(1)) + BESIDE_PARTS
    costs = (
        month * requests * PUT,
        month * HEADS * GET,
        month * RECORDED / 1e9 * GB_MONTH,
        LOOKS * ceil(2 * year / LISTED) * PUT,
        WALKS * year * (PUT + 2 * GET),
    )
    table = PAGE.partition("| a month |\n|---|---|\n")[2].partition("\n\n")[0]
    assert [line.split("|")[2].strip() for line in table.splitlines()] == [f"${cost:,.2f}" for cost in costs]


def test_an_upload_takes_as_many_requests_as_are_told(tmp_path: Path) -> None:
    engine, asked = open_database(tmp_path / "state.db"), list[str]()
    service = S3UploadsUnderTest(CloudedFiles(), engine)
    service.s3.fails = lambda operation: asked.append(operation)
    asyncio.run(service.record(bytes(10)))
    engine.dispose()
    by_operation = Counter(asked)
    heads, parts = by_operation.pop("head_object"), by_operation.pop("upload_part")
    assert (heads, by_operation.total()) == (HEADS, BESIDE_PARTS), by_operation
    assert parts == 2
    assert f"*n* + {BESIDE_PARTS} requests at the price of a PUT" in PAGE
    assert f"and {HEADS} HEAD request" in PAGE


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
