"""The page on limits has the numbers of the code, and of each setting that it names the default."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from server import aws_storages, lifecycle, recordings_assembly, storages_assembly
from server.audit_log import (
    batch_codec,
    bucket_dates,
    bucket_looks,
    deliveries,
    event,
    gate,
    parquet_pages,
    strict_json,
)
from server.audit_log.cuts import CutLimits
from server.audit_log.export import chunk, exports
from server.audit_log.scrub import bucket_verification, scrubbing
from server.audit_log.search import gaps, narrowing, page_reader, query, searches
from server.audit_log.shared_places import SharedPlaces
from server.audit_log.watching.watch import WatchLimits
from server.config import Config
from server.external_storage import connection_tests, events, locations, rules
from server.external_storage.storage import TEST_COUNTS_MS
from server.grpc_api import audit_log, emit_batches, recording_requests, search_requests
from server.recordings import part_buffers, verification
from server.recordings.sessions import sessions
from server.recordings.text_search import text_search
from server.recordings.uploads import settling
from server.recordings.uploads.parts import PartSchedule
from server.storage import query as row_query
from server.storage.aws import (
    credentials,
    custody_records,
    event_storage,
    multipart,
    stored_recordings,
    value_tests,
    versions,
)
from server.storage.aws.athena import literals, table
from server.storage.aws.athena import query as athena_query
from server.storage.spec import StorageOptions
from tests.docs.walk import ROOT

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in (ROOT / "docs" / "limits.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| what ")
]
UNITS = (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")
CONFIG, PARTS = Config(), PartSchedule()
MOST_EXPORTS = exports.most_exports(CONFIG.journal.cut_bytes)


def size(value: float) -> str:
    bits, unit = next(each for each in UNITS if value >= 1 << each[0])
    return f"{value / (1 << bits):g} {unit}"


def of_caller(places: int) -> str:
    return f"{SharedPlaces(places, '').most_of_caller}"


def shared(places: int) -> str:
    return f"{places}, of one identity {of_caller(places)}"


def seconds(value: float) -> str:
    return f"{value:,g} s" if value < 1 else f"{value:,.0f} s"


OF_THE_CODE = {
    "a message": f"{size(CONFIG.grpc.message_bytes)}, or an event and 64 KiB",
    "events in a message": f"{emit_batches.MAX_EVENTS:,}",
    "type of an event": f"{event.MAX_TYPE_BYTES} bytes",
    "uid": f"{event.MAX_UID_CHARACTERS} characters",
    "depth of its JSON": f"{strict_json.MAX_DEPTH}",
    "events a second of an identity": "none" if CONFIG.limits.events_per_second is None else "",
    "beyond both, for the service's own events": size(gate.OWN_RESERVE_BYTES),
    "age, for an External Audit Storage": seconds(CutLimits().external_age_ms / 1000),
    "first pause after a failure": seconds(deliveries._FIRST_PAUSE),
    "failing before health says `delivery_failing`": seconds(storages_assembly._PATIENCE_SECONDS),
    "a batch record that is read": size(event_storage.MOST_RECORD_BYTES),
    "a session of the role": seconds(credentials.SESSION_SECONDS),
    "before its end a new one is asked for": seconds(credentials.AHEAD_SECONDS),
    "a connection test": seconds(connection_tests.LIMIT_SECONDS),
    "connection tests at once": f"{connection_tests.MOST}",
    "a passed test counts for a promotion": seconds(TEST_COUNTS_MS / 1000),
    "rows of a page, unless asked for": f"{query.DEFAULT_PAGE_SIZE}",
    "rows of a page, at most": f"{query.MAX_PAGE_SIZE:,}",
    "bytes of a page": f"{size(page_reader.PAGE_BYTES)}, or one row",
    "a row given without its JSON, for GetEvent": f"above {size(page_reader.OMIT_BYTES)}",
    "uid of a foreign row; one with a longer one is left out and named": f"{row_query.MOST_UID_BYTES:,} bytes",
    "type or session id of a foreign row; a longer one is cut": f"{row_query.CUT_CHARACTERS:,} characters",
    f"user of a foreign row; a longer one is cut to {row_query.CUT_CHARACTERS:,} characters": size(
        row_query.LONG_USER_BYTES
    ),
    "values of a filter": f"{search_requests.MAX_VALUES}",
    "text that is looked for": f"{search_requests.MAX_TEXT_CHARACTERS:,} characters",
    "filters by field": f"{search_requests.MAX_FIELDS}",
    "searches at once of External Audit Storages": f"{lifecycle._REMOTE_SEARCHES}",
    "searches that wait": f"{searches.PLACES}",
    "of the places for searches, of one identity": of_caller(searches.PLACES),
    "a parameter, quotes included": f"{literals.MOST_CHARACTERS:,} characters",
    "part of the time left that `auto` gives Athena": f"{narrowing._AUTO_SHARE * 100:.0f} %",
    "bytes read by one query": f"{StorageOptions().scan_limit_bytes:,}",
    "age of a comparison of the table with the plan": seconds(table.FRESH_SECONDS),
    "answers kept for further pages": f"{narrowing._KEPT_FINDINGS}",
    "pauses between looks at a query": f"{athena_query.FIRST_PAUSE} s to {seconds(athena_query.LONGEST_PAUSE)}",
    "conditions of roles as SQL": size(value_tests.MAX_SQL_BYTES),
    "age of the listing of a date": seconds(bucket_looks.FRESH_SECONDS),
    "of a date more than two days ago": seconds(bucket_looks.OLD_FRESH_SECONDS),
    "of one that failed, before it is tried again": seconds(bucket_looks._FAILED_SECONDS),
    "how long a search waits for listings, at most half its time": seconds(bucket_looks._MOST_SECONDS),
    "dates that a search looks at, the last ones": f"{bucket_looks.MOST_DATES:,}",
    "versions and delete markers listed of a date": f"{versions.MOST_LISTED:,}",
    "objects of others on a date": f"{bucket_dates.MOST_FOREIGN:,}",
    "bytes of one": size(bucket_dates.MOST_FOREIGN_BYTES),
    "bytes of them fetched at once": size(bucket_dates.AT_ONCE_BYTES),
    "reading new ones in one look; the next goes on": seconds(bucket_dates.DESCRIBING_SECONDS),
    "rows of one": f"{batch_codec.MOST_FOREIGN_ROWS:,}",
    "pages of one": f"{parquet_pages.MOST_PAGES:,}",
    "a page of one, unpacked": size(parquet_pages.MOST_PAGE_BYTES),
    "all of one, unpacked": size(parquet_pages.MOST_UNPACKED_BYTES),
    "named in an answer, the rest counted": f"{gaps.MOST_OF_OTHERS}",
    "versions looked at for the one that was stored": f"{versions._MOST_TRIED} oldest, as many newest",
    "versions asked whose upload they are, when one ends": f"{stored_recordings.MOST_ASKED} of its size",
    "findings of the scrub, beyond which no new record of others is one": f"{bucket_verification.MOST_OF_OTHERS:,}",
    "and no new recording of others": f"{verification.MOST_OF_OTHERS:,}",
    "watches at once": f"{WatchLimits().watches}",
    "exports at once": f"{MOST_EXPORTS}",
    "of them, of one identity": of_caller(MOST_EXPORTS),
    "lists of chunks at once": shared(exports.LISTS),
    "lists of sessions, and questions who may see one, at once": shared(sessions.PLACES),
    "searches in recorded text at once": shared(text_search.PLACES),
    "an export whose client takes nothing": seconds(audit_log.EXPORT_PATIENCE_SECONDS),
    "chunks of a page, unless asked for": f"{chunk.DEFAULT_PAGE_SIZE:,}",
    "chunks of a page, at most": f"{chunk.MAX_PAGE_SIZE:,}",
    "a chunk": size(recording_requests.MAX_CHUNK_BYTES),
    "a part, up to the thousandth": size(PARTS.size(1)),
    "more after every thousand parts": size(PARTS.size(PARTS.step + 1) - PARTS.size(PARTS.step)),
    "parts": f"{PARTS.most:,}",
    "free disk space, below which none is taken": size(recordings_assembly.floor_bytes(CONFIG)),
    "reads of External Audit Storages, and ends of uploads to them, at once": f"{recordings_assembly._REMOTE_THREADS}",
    "bytes of all uploads that wait for the disk": size(recordings_assembly._BACKLOG_BYTES),
    "parts in memory for all who read, of the default storage and of External Audit Storages each": (
        f"{size(part_buffers.BYTES)}, or one part"
    ),
    "a part whose reader takes nothing, while others wait; it is read again": seconds(part_buffers.TURN_SECONDS),
    "parts sent to one storage at once": f"{aws_storages._SENDERS}",
    "pause of sending ahead after a failure": seconds(multipart._PAUSE_SECONDS),
    "complete ones that couldn't be sent are tried again every": seconds(settling.LOOK_SECONDS),
    "a custody record that is read": size(custody_records._MOST_BYTES),
    "between looks at what is there": seconds(scrubbing.LOOK_SECONDS),
    "requests to a bucket for events, a second": f"{bucket_verification._REQUESTS_PER_SECOND:.0f}",
    "a URI": f"{locations.MAX_CHARACTERS} characters",
    "`object_lock_days`, `retention_days`": f"{rules.MAX_DAYS:,}",
    "`results_days`": f"{rules.MAX_RESULTS_DAYS}",
    "`scan_limit_bytes`, at least": f"{rules.MIN_SCAN_LIMIT_BYTES:,}",
    "ranges of sequences named in the event of a diversion": f"{events.MOST_RANGES:,}",
}
"""By row; all others have the default of their setting."""


def setting(name: str) -> tuple[Any, Any]:
    """Default and metadata of a setting, which must be one."""
    section, _, key = name.partition(".")
    found = getattr(CONFIG, section)
    return getattr(found, key), next(each.metadata for each in fields(found) if each.name == key)


def expected(what: str, named: str) -> str:
    """What a row must say."""
    if what in OF_THE_CODE:
        return OF_THE_CODE[what]
    value, metadata = setting(named)
    shown = {"bytes": size, "seconds": seconds}.get(metadata["unit"])
    return shown(value) if shown else f"{value:,}"


def test_each_row_has_the_number_of_the_code_and_settings_that_there_are() -> None:
    names = [re.findall(r"`(\w+\.\w+)`", cell) for _, _, cell in ROWS]
    told = {what: limit for what, limit, _ in ROWS}
    assert len(told) == len(ROWS), "a row is there twice"
    assert OF_THE_CODE.keys() <= told.keys()
    assert told == {what: expected(what, (named or ["."])[0]) for (what, _, _), named in zip(ROWS, names, strict=True)}
    assert all(setting(name) for named in names for name in named)


def test_the_highest_values_that_are_told_are_those_of_the_settings() -> None:
    told = re.findall(r"`(\w+\.\w+)`, up to (\w+ \w+)", "\n".join(cell for _, _, cell in ROWS))
    assert told == [(name, size(setting(name)[1]["high"])) for name, _ in told]
    assert len(told) == 2
