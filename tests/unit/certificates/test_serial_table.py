"""The table of recorded serials: as old as its last reading, but for what callers show meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Event, Thread
from typing import cast

from server.certificates.issued import MAX_WAITING, IssuedCertificates, SerialTable


class Record:
    """The record in the state, which another process writes."""

    def __init__(self) -> None:
        self.recorded: set[str] = set()
        self.before: Callable[[], None] = lambda: None
        """Called when it is asked, before the answer is given that was right at that moment."""
        self.asked = 0

    def serials(self) -> frozenset[str]:
        found = frozenset(self.recorded)
        self.before()
        return found

    def has(self, serial: str) -> bool:
        self.asked += 1
        found = serial in self.recorded
        self.before()
        return found


def table_of(record: Record) -> SerialTable:
    return SerialTable(cast(IssuedCertificates, record))


def test_what_was_recorded_since_the_last_reading_is_found_when_it_is_shown() -> None:
    record = Record()
    table = table_of(record)
    record.recorded |= {"a"}
    table.refresh()
    record.recorded |= {"b"}
    for serial in ("b", "never recorded"):
        asyncio.run(table.learn(serial))
    assert table.current() == {"a", "b"}


def test_a_reading_that_began_before_takes_nothing_away() -> None:
    """A stream that began with it would end for that."""
    record = Record()
    table = table_of(record)
    learning = Thread(target=lambda: asyncio.run(table.learn("b")))

    def recorded_meanwhile() -> None:
        record.before = lambda: None
        record.recorded |= {"b"}
        learning.start()
        learning.join(0.2)  # in vain where it is kept waiting for this reading

    record.before = recorded_meanwhile
    table.refresh()
    learning.join()
    assert table.current() == {"b"}


def test_a_record_that_cant_be_read_leaves_it_unknown() -> None:
    record = Record()
    table = table_of(record)

    def broken() -> None:
        raise OSError("the disk")

    record.before = broken
    asyncio.run(table.learn("a"))
    assert table.current() == frozenset()


def test_what_isnt_recorded_is_looked_for_once_between_two_readings_and_what_couldnt_be_read_again() -> None:
    record = Record()
    table = table_of(record)

    def broken() -> None:
        record.before = lambda: None
        raise OSError("the disk")

    record.before = broken
    for asked in (1, 2, 2):
        asyncio.run(table.learn("a"))
        assert record.asked == asked
    table.refresh()
    asyncio.run(table.learn("a"))
    assert record.asked == 3


def test_only_so_many_wait_for_a_record_that_hangs() -> None:
    record, answered = Record(), Event()
    table = table_of(record)
    record.before = lambda: cast(None, answered.wait(60))

    async def check() -> None:
        waiting = [asyncio.create_task(table.learn(f"{number}")) for number in range(MAX_WAITING)]
        await asyncio.sleep(0)
        try:
            await table.learn("one more")
            assert not any(each.done() for each in waiting)
        finally:
            answered.set()
            await asyncio.gather(*waiting)
        assert record.asked == MAX_WAITING
        record.recorded |= {"another"}
        await table.learn("another")
        assert table.current() == {"another"}

    asyncio.run(check())
