"""What damage of a spool's files costs: what it touches, told as lost, and nothing that follows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from extaudit_client.spool.files import DiskFiles
from extaudit_client.spool.frames import HEADER_BYTES
from extaudit_client.spool.reading import Reader

from tests.unit.client.spool.spools import FILES, read, spool


def test_a_torn_end_is_cut_and_said(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    opened.append([b"whole"], 0)
    opened.close()
    (path,) = tmp_path.glob("*.events")
    path.write_bytes(path.read_bytes() + b"\xf5\xffEV torn")
    again = spool(tmp_path)
    assert (read(again), again.fill().cut_bytes) == ([b"whole"], 9)
    again.append([b"next"], 0)
    assert read(again) == [b"whole", b"next"]
    again.settle(2)
    again.close()
    assert list(tmp_path.glob("*.damaged")) == [], "what a crash leaves is no damage"


@pytest.mark.parametrize("where", [-1, -30])
def test_damage_of_the_last_event_is_cut_off_and_kept(tmp_path: Path, where: int) -> None:
    opened = spool(tmp_path)
    opened.append([b"whole", b"last"], 0)
    opened.close()
    (path,) = tmp_path.glob("*.events")
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    again = spool(tmp_path)
    size = HEADER_BYTES + len(b"last")
    assert (read(again), again.fill().cut_bytes) == ([b"whole"], size)
    again.close()
    assert (tmp_path / f"{path.name}.end.damaged").read_bytes() == data[-size:]


def test_a_file_of_which_nothing_can_be_read_is_kept_and_no_other_one(tmp_path: Path) -> None:
    """All but a bit of it may still be there, for people."""
    opened = spool(tmp_path)
    for event in (b"a", b"b", b"c"):
        opened.append([event * 50_000], 0)
    opened.close()
    first, second, third = sorted(tmp_path.glob("*.events"))
    data = bytearray(first.read_bytes())
    data[1000] ^= 1
    first.write_bytes(data)
    spool(tmp_path).close()  # by a process that ended before it looked
    again = spool(tmp_path)
    batch = Reader(FILES, again).read(10, 1 << 20)
    assert ([entry.number for entry in batch.entries], batch.lost) == ([2, 3], [(1, 1)])
    again.settle(3)
    again.close()
    assert [path.name for path in tmp_path.glob("*.damaged")] == [first.name + ".damaged"]
    assert (tmp_path / f"{first.name}.damaged").read_bytes() == data
    assert not second.exists()
    assert not third.exists()


@pytest.mark.parametrize("spoiled", [b"", b"\0" * 600, b"\xff" * 7])
def test_a_lost_marker_only_means_that_settled_events_are_sent_again(tmp_path: Path, spoiled: bytes) -> None:
    opened = spool(tmp_path)
    opened.append([b"1", b"2", b"3"], 0)
    opened.settle(2)
    opened.close()
    (tmp_path / "settled").write_bytes(spoiled)
    again = spool(tmp_path)
    assert read(again) == [b"1", b"2", b"3"]
    again.settle(3)
    again.close()
    assert read(spool(tmp_path)) == []


def test_the_marker_stays_small(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    for number in range(1, 12_000):
        opened.append([b"x"], 0)
        opened.settle(number)
    assert (tmp_path / "settled").stat().st_size < 60_000
    opened.close()
    again = spool(tmp_path)
    assert again.settled == 11_999
    again.close()


def test_a_file_that_somebody_removed_is_told_as_lost_and_holds_nothing_up(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    for _ in range(20):
        opened.append([b"x" * 10_000], 0)
    sorted(tmp_path.glob("*.events"))[1].unlink()
    reader, lost, found = Reader(FILES, opened), 0, 0
    while (batch := reader.read(3, 1 << 20)).entries or batch.lost:
        lost += sum(last - first + 1 for first, last in batch.lost)
        found += len(batch.entries)
    assert (lost, found) == (6, 14)
    opened.settle(20)
    opened.close()


class FewReads(DiskFiles):
    """Fails where somebody reads on and on."""

    def __init__(self) -> None:
        self.left = 100

    def read_range(self, path: Path, offset: int, size: int) -> bytes:
        self.left -= 1
        assert self.left, "it reads for ever"
        return super().read_range(path, offset, size)


@pytest.mark.parametrize("whole", [9, 0], ids=["in its end", "in its beginning"])
def test_a_file_cut_short_while_it_is_open_costs_what_was_cut_off_and_nothing_that_follows(
    tmp_path: Path, whole: int
) -> None:
    opened = spool(tmp_path)
    opened.append([b"%d" % number for number in range(10)], 0)
    (path,) = tmp_path.glob("*.events")
    os.truncate(path, path.stat().st_size * (whole + 1) // 10 - 5)
    reader = Reader(FewReads(), opened)
    batch = reader.read(100, 1 << 20)
    assert [entry.event for entry in batch.entries] == [b"%d" % number for number in range(whole)]
    assert (batch.lost, batch.through) == ([(whole + 1, 10)], 10)
    assert reader.read(100, 1 << 20).entries == []
    opened.append([b"next"], 0)
    for following in (reader, Reader(FewReads(), opened)):
        assert following.read(100, 1 << 20).entries[-1].event == b"next"
    opened.settle(11)
    opened.close()
    assert [kept.name for kept in tmp_path.glob("*.damaged")] == [path.name + ".damaged"]
