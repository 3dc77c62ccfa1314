"""What is in the place of an event file and can't be read as one: each is named, and the rest is found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from server.audit_log.search.query import MissingReason, SearchPage, SearchQuery
from server.audit_log.timestamps import utc_date
from server.storage.query import Order
from tests.contract.foreign_files import columns, write, write_as_teleport
from tests.contract.search_rig import NOON, SearchRig, event_json

DATE = utc_date(NOON)
UNREADABLE = MissingReason.OBJECT_UNREADABLE


def _uids(page: SearchPage) -> list[str]:
    return [row.position.uid for row in page.rows]


def _missing(page: SearchPage) -> set[tuple[MissingReason, str]]:
    return {(item.reason, item.name) for item in page.missing}


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def _magic_only(path: Path) -> None:
    path.write_bytes(b"PAR1" + b"\xff" * 100 + b"\x64\0\0\0PAR1")


def _other_columns(path: Path) -> None:
    write(path, {"a": pa.array([1])})


def _directory(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.symlink_to(write(path.parent.parent / "outside", columns(["linked"])))


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _json_not_utf8(path: Path) -> None:
    table = columns(["x"])
    table["event_data"] = pa.array([b'{"a":"\xff"}'], pa.binary())
    write(path, table)


def _damaged_pages(path: Path) -> None:
    write(path, columns([f"d{number}" for number in range(100)]), use_dictionary=False, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:600] = bytes(596)
    path.write_bytes(content)


def _wrong_type(path: Path) -> None:
    write(path, columns(["x"]) | {"event_time": pa.array(["yesterday"])})


def _absurd_times(path: Path) -> None:
    write(path, columns(["x"]) | {"event_time": pa.array([2**62], pa.timestamp("ms", "UTC"))})


NOT_EVENTS = [
    _garbage,
    _magic_only,
    _other_columns,
    _directory,
    _link,
    _dangling,
    _fifo,
    _json_not_utf8,
    _damaged_pages,
    _wrong_type,
    _absurd_times,
]


@pytest.mark.parametrize("make", NOT_EVENTS, ids=lambda make: make.__name__.strip("_"))
def test_what_can_not_be_read_is_named_and_the_rest_is_found(rig: SearchRig, make: Callable[[Path], None]) -> None:
    rig.store(event_json("ours", NOON))
    write_as_teleport(rig.events_folder, "t1")
    make(rig.events_folder / DATE / "x.parquet")
    for order in Order:
        page = rig.page(SearchQuery(order=order))
        assert (sorted(_uids(page)), _missing(page)) == (["ours", "t1"], {(UNREADABLE, f"{DATE}/x.parquet")})


def test_times_beyond_every_calendar_stop_no_search(rig: SearchRig) -> None:
    rig.store(event_json("ours", NOON))
    for number in range(20):  # more than one window of time
        _absurd_times(rig.events_folder / DATE / f"x{number}.parquet")
    for order in Order:
        page = rig.page(SearchQuery(order=order))
        assert (_uids(page), {item.reason for item in page.missing}) == (["ours"], {UNREADABLE})
        assert len(page.missing) == 20
