"""The spool on a real disk: its bound, its order, what damage costs, and who may have it."""

from __future__ import annotations

import errno
import os
import random
import threading
from pathlib import Path

import pytest
from extaudit_client.spool.errors import SpoolClosed, SpoolFull, SpoolInUse
from extaudit_client.spool.folder_lock import FolderLock
from extaudit_client.spool.reading import Reader

from tests.polling import until
from tests.unit.client.spool.spools import BOUND, FILES, at_once, bytes_in, in_use, read, spool


def test_events_come_out_as_they_went_in_also_after_another_opening(tmp_path: Path) -> None:
    opened = spool(tmp_path / "s")
    opened.append([b"1", b"2"], 0)
    opened.append([b"3"], 0)
    assert read(opened) == [b"1", b"2", b"3"]
    opened.settle(1)
    opened.close()
    again = spool(tmp_path / "s")
    again.append([b"4"], 0)
    assert read(again) == [b"2", b"3", b"4"]
    assert again.fill().queued == 3
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()} == {0o600}
    again.close()


def test_the_files_never_exceed_the_bound_and_what_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    taken: list[bytes] = []
    dice = random.Random(5)
    for number in range(3_000):
        events = [b"%d.%d" % (number, index) + b"x" * dice.randrange(4_000) for index in range(dice.randrange(1, 4))]
        try:
            opened.append(events, 0)
            taken += events
        except SpoolFull:
            through = opened.settled + dice.randrange(1, 60)
            opened.settle(min(through, opened.committed))
        assert bytes_in(tmp_path) <= BOUND
        assert opened.fill().bytes == bytes_in(tmp_path)
    assert read(opened) == taken[opened.settled :]
    opened.close()


def test_an_event_that_could_never_fit_is_refused_at_once_however_long_one_would_wait(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    with pytest.raises(SpoolFull, match="more than the spool may ever hold"):
        opened.append([b"x" * BOUND], None)
    opened.close()


def test_who_waits_for_room_gets_it_when_events_are_settled(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    while True:
        try:
            opened.append([b"x" * 10_000], 0)
        except SpoolFull:
            break
    with pytest.raises(SpoolFull):
        opened.append([b"late"], 0.01)  # small, but the bound counts whole files
        opened.append([b"x" * 10_000], 0.01)
    before = opened.committed
    waiting = threading.Thread(target=lambda: opened.append([b"y" * 10_000], None))
    waiting.start()
    opened.settle(before)
    waiting.join(60)
    assert not waiting.is_alive()
    assert opened.committed == before + 1
    opened.close()


def test_who_waits_for_room_is_told_when_the_spool_is_closed(tmp_path: Path) -> None:
    opened = spool(tmp_path, durably=False)
    with pytest.raises(SpoolFull):
        while True:
            opened.append([b"x" * 50_000], 0)
    failures: list[Exception] = []

    def wait() -> None:
        try:
            opened.append([b"x" * 50_000], None)
        except SpoolClosed as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    opened.close()
    waiting.join(60)
    assert len(failures) == 1


def test_each_event_of_threads_that_append_at_once_is_there_once_and_in_their_order(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    at_once(8, lambda name: [opened.append([b"%d.%d" % (name, n)], None) for n in range(100)])
    found = read(opened)
    assert sorted(found) == sorted(b"%d.%d" % (name, n) for name in range(8) for n in range(100))
    for name in range(8):
        assert [event for event in found if event.startswith(b"%d." % name)] == [
            b"%d.%d" % (name, n) for n in range(100)
        ]
    opened.close()


def test_what_threads_wrote_during_a_sync_shares_the_next_one(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    syncs = 0
    plain = opened._appending.sync

    def held_until_all_have_written() -> None:
        nonlocal syncs
        syncs += 1
        until(lambda: opened._written == 8)
        plain()

    opened._appending.sync = held_until_all_have_written  # type: ignore[method-assign]
    at_once(8, lambda name: opened.append([b"%d" % name], None))
    assert syncs <= 2, "the first may have begun before the others wrote"
    assert sorted(read(opened)) == [b"%d" % name for name in range(8)]
    opened.close()


def test_who_waits_for_a_sync_that_is_interrupted_syncs_by_itself(tmp_path: Path) -> None:
    """Ctrl-C comes to the main thread, in the middle of whatever it does; others go on."""
    opened = spool(tmp_path)
    plain, other = opened._appending.sync, threading.Thread(target=opened.append, args=([b"2"], 0), daemon=True)

    def interrupted() -> None:
        opened._appending.sync = plain  # type: ignore[method-assign]
        other.start()
        until(lambda: opened._written == 2)
        with opened.changed:  # it waits now for this sync
            pass
        raise KeyboardInterrupt

    opened._appending.sync = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        opened.append([b"1"], 0)
    other.join(60)
    assert not other.is_alive()
    assert read(opened) == [b"1", b"2"]
    opened.close()


def test_no_file_is_ended_while_it_is_synced(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    opened.append([b"first"], 0)
    appending, ends_segment = opened._appending, opened._appending.ends_segment
    syncing, asked, was_open = threading.Event(), threading.Event(), list[bool]()
    (segment,) = opened.segments

    def hold() -> None:
        if syncing.is_set():
            return  # what follows needs no holding
        syncing.set()
        asked.wait(60)
        with opened.changed:  # who asked waits now, before or after it has ended the file
            was_open.append(appending.writes(segment))

    def noticed(size: int) -> bool:
        asked.set()
        return ends_segment(size)

    appending.sync = hold  # type: ignore[method-assign]
    small = threading.Thread(target=opened.append, args=([b"small"], 0))
    small.start()
    assert syncing.wait(60)
    appending.ends_segment = noticed  # type: ignore[method-assign]
    opened.append([b"x" * 64 * 1024], 0)
    small.join(60)
    assert was_open == [True]
    assert not appending.writes(segment)
    opened.close()


@pytest.mark.parametrize("seed", range(30))
def test_damage_in_the_middle_is_told_and_costs_only_what_it_touches(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    opened = spool(tmp_path, durably=False)
    events = [b"%d-" % n + b"x" * dice.randrange(3_000) for n in range(200)]
    for event in events:
        opened.append([event], 0)
    opened.close()
    path = dice.choice(sorted(tmp_path.glob("*.events"))[:-1])
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data))
    data[at : at + dice.choice([1, 500])] = b"\0" * len(data[at : at + 500])
    path.write_bytes(data)
    again = spool(tmp_path)
    reader, found, lost = Reader(FILES, again), [], 0
    while (batch := reader.read(7, 1 << 20)).entries or batch.lost:
        found += [entry.event for entry in batch.entries]
        lost += sum(last - first + 1 for first, last in batch.lost)
    assert 1 <= lost <= 20
    assert len(found) == 200 - lost
    assert found == [event for event in events if event in found]
    again.settle(again.committed)
    assert again.fill().queued == 0
    assert [kept.name for kept in tmp_path.glob("*.damaged")] == [path.name + ".damaged"], "for people to look at"
    again.close()


def test_a_folder_is_one_emitters_alone(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(SpoolInUse):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_keeps_no_folder_from_the_next_emitter(tmp_path: Path) -> None:
    held = FolderLock(tmp_path)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)  # lives for as long as the test wants
        os._exit(0)
    os.close(reader)
    try:
        with pytest.raises(SpoolInUse):
            FolderLock(tmp_path)
        os.close(held._fd)  # as the kernel does when the process is killed
        held._fd = -1
        until(lambda: not in_use(tmp_path))
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_a_released_folder_is_free_though_a_copy_of_the_lock_is_open(tmp_path: Path) -> None:
    held = FolderLock(tmp_path)
    copy = os.dup(held._fd)
    held.release()
    held.release()
    FolderLock(tmp_path).release()
    os.close(copy)


def test_a_disk_that_is_full_within_a_note_spoils_no_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = spool(tmp_path)
    opened.append([b"1", b"2", b"3"], 0)
    opened.settle(1)
    file = opened._marker._file
    append = file.append

    def torn(data: bytes) -> None:
        append(data[:5])
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(file, "append", torn)
    opened.settle(2)
    monkeypatch.setattr(file, "append", append)
    opened.settle(3)
    again = spool(tmp_path)  # as after kill -9
    assert read(again) == [], "nothing is sent twice"
    again.close()


def test_what_is_written_and_not_committed_is_not_read(tmp_path: Path) -> None:
    opened = spool(tmp_path)
    opened.append([b"1"], 0)
    reader = Reader(FILES, opened)
    with opened.changed:
        assert opened._write([b"2"], 29)
    assert [entry.event for entry in reader.read(10, 1 << 20).entries] == [b"1"]
    assert reader.read(10, 1 << 20).entries == []
    opened.append([b"3"], 0)
    until(lambda: opened.committed == 3)
    assert [entry.event for entry in reader.read(10, 1 << 20).entries] == [b"2", b"3"]
    opened.close()
