"""Which uids are known after a restart: those received last, whatever was delivered last."""

from __future__ import annotations

from pathlib import Path

from tests.contract.search_rig import DAY_MS, NOW_MS, SearchRig, duck_engine, event_json

OTHER = "other"


def test_what_waits_long_for_one_storage_lets_no_newer_retry_be_stored_twice(tmp_path: Path) -> None:
    def emit(name: str, count: int, received_ms: int) -> None:
        events = [event_json(f"{name}-{number}") for number in range(count)]
        for first in range(0, count, 250):
            rig.emit(*events[first : first + 250], received_ms=received_ms)
            rig.cut()

    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,))  # at least 1,000 uids are known, 2,000 at most
    rig.log.writer.switch(OTHER)
    emit("old", 1500, NOW_MS - 3 * DAY_MS)
    rig.log.writer.switch("default")
    emit("new", 1000, NOW_MS)
    rig.deliver()
    again = rig.reopened()
    assert again.emit(*(event_json(f"new-{number}") for number in range(1000))) == [], "each is a retry"
    again.close()
