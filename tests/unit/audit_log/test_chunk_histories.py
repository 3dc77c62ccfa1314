"""Lists of chunks while the log goes on: each chunk once, whatever comes between two pages."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.audit_log.export.chunk import ChunkId
from server.state.catalogue import Catalogue
from server.state.database import open_database
from tests.unit.audit_log.chunk_lists import LOG, LOGS, Lists, ranges


@pytest.fixture
def lists(tmp_path: Path) -> Iterator[Lists]:
    engine = open_database(tmp_path / "state.db")
    yield Lists(Catalogue(engine))
    engine.dispose()


class Model:
    """A log as it could come to be: what is confirmed or lost of 1, 2, 3, ... , in any order."""

    def __init__(self, lists: Lists, rng: random.Random, log_id: str) -> None:
        self._lists = lists
        self._rng = rng
        self.log_id = log_id
        self.done: set[int] = set()
        self.stored: list[tuple[int, int]] = []
        self._waiting: list[tuple[int, int, bool]] = []
        self._next = 1

    def step(self) -> None:
        """A cut, or a delivery: mostly of the oldest."""
        rng = self._rng
        if not self._waiting or rng.random() < 0.5:
            first, self._next = self._next, self._next + rng.randint(1, 9)
            self._waiting.append((first, self._next - 1, rng.random() < 0.15))
        else:
            self.deliver(0 if rng.random() < 0.7 else rng.randrange(len(self._waiting)))

    def deliver(self, index: int = 0) -> None:
        first, last, lost = self._waiting.pop(index)
        if lost:
            self._lists.catalogue.add_holes([(self.log_id, first, last)], 0)
        else:
            self._lists.store(first, last, self.log_id)
            self.stored.append((first, last))
        self.done |= set(range(first, last + 1))

    def finish(self) -> None:
        while self._waiting:
            self.deliver()

    @property
    def complete(self) -> int:
        return next(number for number in itertools.count(1) if number not in self.done) - 1


@pytest.mark.parametrize("seed", range(40))
def test_every_history_gives_each_chunk_once_and_says_exactly_how_far(seed: int, lists: Lists) -> None:
    rng = random.Random(seed)
    logs = [Model(lists, rng, log_id) for log_id in LOGS[: rng.randint(1, 3)]]

    def go_on() -> None:
        for _ in range(rng.randrange(4)):
            rng.choice(logs).step()

    place: dict[str, int] = {}
    given: list[ChunkId] = []

    def look(between: Callable[[], object]) -> None:
        nonlocal place
        # By the model, as of the first page; of each log that has anything at all.
        expected = {log.log_id: log.complete for log in logs if log.done}
        chunks, page = lists.pages(between, page_size=rng.randint(1, 3), after=place)
        assert page.complete_through == expected
        new = [
            ChunkId("default", log.log_id, first, last)
            for log in logs
            for first, last in sorted(log.stored)
            if place.get(log.log_id, 0) < last <= expected.get(log.log_id, 0)
        ]
        assert [chunk.id for chunk in chunks] == new
        given.extend(new)
        place = expected

    for _ in range(12):
        go_on()
        look(go_on)
    for log in logs:
        log.finish()
    look(lambda: None)
    every = [ChunkId("default", log.log_id, *each) for log in logs for each in log.stored]
    assert sorted(given) == sorted(every)


def test_a_list_beside_deliveries_gives_each_chunk_once(lists: Lists) -> None:
    count = 150

    def deliver() -> None:
        for first in range(1, count + 1):
            section = lists.tail.begin(LOG, first, "default")
            lists.store(first, first)
            lists.tail.remove(section)

    thread = threading.Thread(target=deliver)
    thread.start()
    place: dict[str, int] = {}
    given: list[tuple[int, int]] = []
    while place.get(LOG, 0) < count:
        chunks, page = lists.pages(after=place, page_size=2)
        given += ranges(chunks)
        assert page.complete_through is not None
        assert given == [(number, number) for number in range(1, page.complete_through.get(LOG, 0) + 1)]
        assert not page.missing
        place = dict(page.complete_through)
    thread.join()
