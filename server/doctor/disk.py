"""The disk: what is free against the bounds that close the intake, and for how long it lasts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from server.doctor.data_at_hand import DataAtHand, unreadable_state
from server.doctor.findings import Fact, Fault, Severity, Told, Unexamined
from server.state.catalogue import Catalogue
from server.state.database import StateFault
from server.state.uploads import RecordingRow

_DAY_MS: Final = 86_400_000
_GROWTH_DAYS: Final = 7
SHORT_DAYS: Final = 7
LONG_DAYS: Final = 30
_ROOM = (
    "Make room on the disk or move the data directory to a larger one. Nothing in storage/ may be removed by hand: "
    "searches would miss it."
)

BELOW_FLOOR: Final = Fault(
    "disk_floor", Severity.ERROR, "Less is free than journal.disk_floor_bytes: the intake is closed.", _ROOM
)
LOW: Final = Fault("disk_low", Severity.WARNING, "Less than twice journal.disk_floor_bytes is free.", _ROOM)
NO_INODES: Final = Fault(
    "disk_inodes",
    Severity.WARNING,
    "The file system has few inodes left; without one no file can be made.",
    "Remove small files that aren't the service's, or move the data directory to a file system made with more inodes.",
)
FULL_SOON: Final = Fault(
    "disk_full_soon", Severity.WARNING, "At the growth of the last days the disk is full within 7 days.", _ROOM
)
FULL_LATER: Final = Fault(
    "disk_full_later", Severity.NOTICE, "At the growth of the last days the disk is full within 30 days.", _ROOM
)
UNREADABLE: Final = Fault(
    "disk_unknown", Severity.ERROR, "The disk of the data directory can't be asked.", "Look at whether it is mounted."
)

FAULTS: Final = (BELOW_FLOOR, LOW, NO_INODES, FULL_SOON, FULL_LATER, UNREADABLE)
_FEW_INODES: Final = 10_000


def check(at: DataAtHand) -> Told:
    """Look at the room and forecast."""
    name = str(at.directory.path)
    try:
        disk = os.statvfs(at.directory.path)
    except OSError as error:
        yield UNREADABLE.of(name, os.strerror(error.errno) if error.errno else "")
        return
    free, floor = at.directory.free_bytes(), at.config.journal.disk_floor_bytes
    yield Fact("free bytes", free)
    yield Fact("floor bytes", floor)
    if free < floor:
        yield BELOW_FLOOR.of(name, f"{free} bytes are free")
    elif free < 2 * floor:
        yield LOW.of(name, f"{free} bytes are free")
    if disk.f_files and disk.f_favail < _FEW_INODES:
        yield NO_INODES.of(name, f"{disk.f_favail} are left")
    try:
        daily = daily_growth(at.catalogue(), at.state.uploads().completed(), at.events.storage_id, at.now_ms)
    except (Unexamined, StateFault) as reason:
        raise Unexamined(f"no forecast: {unreadable_state()}") from reason
    yield Fact("bytes a day", round(daily))
    if daily > 0:
        days = max(0.0, (free - floor) / daily)
        yield Fact("days left", round(days, 1) if days < 2 * LONG_DAYS else round(days))
        if days < SHORT_DAYS:
            yield FULL_SOON.of(name, f"{days:.1f} days")
        elif days < LONG_DAYS:
            yield FULL_LATER.of(name, f"{days:.0f} days")


def daily_growth(catalogue: Catalogue, recordings: Sequence[RecordingRow], storage: str, now_ms: int) -> float:
    """Bytes of events and recordings a day, of the last days; a whole day at least is taken for their time."""
    since = now_ms - _GROWTH_DAYS * _DAY_MS
    batches = {(each.log_id, each.first): each.confirmed_ms for each in catalogue.batches() if each.storage == storage}
    batches = {key: confirmed for key, confirmed in batches.items() if confirmed >= since}
    taken = [row for row in recordings if row.storage == storage and row.completed_ms >= since]
    size = sum(item.bytes for item in catalogue.objects(storage) if (item.log_id, item.first) in batches)
    size += sum(row.bytes for row in taken)
    span = now_ms - min([*batches.values(), *(row.completed_ms for row in taken)], default=now_ms)
    return size / max(1.0, span / _DAY_MS)
