"""Lives of a log: what one does, what a stop at any moment leaves of it, and whether the next one finds everything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from tests.crash.forgetful_files import ForgetfulFiles, Stopped
from tests.crash.log_under_test import LogUnderTest, StateFile

Acknowledged = dict[int, tuple[str, int]]
Content = tuple[bytes, bytes]
Log = TypeVar("Log", bound=LogUnderTest)

FIRST_LIVES = 1 if "EXTAUDIT_CRASH_ROUNDS" in os.environ else 3
"""How many times fewer first lives are gone on from, in a second one that is stopped too, than in `make crash`."""


@dataclass(frozen=True)
class Moment:
    """What a stop just before one operation leaves."""

    operation: int
    files: ForgetfulFiles
    state: Content
    acknowledged: Acknowledged

    def after(self, *, power_loss: bool) -> Moment:
        """The same, less what was not synced if the power went."""
        return Moment(self.operation, self.files.copy(power_loss=power_loss), self.state, self.acknowledged)

    def without_catalogue(self) -> Moment:
        """The same, and the state database is lost as well."""
        return Moment(self.operation, self.files.copy(), (b"", b""), self.acknowledged)

    @property
    def digest(self) -> int:
        """Equal for moments after which everything is equal, but for a later loss of power."""
        return hash((self.files.digest(), self.state, tuple(sorted(self.acknowledged.items()))))


def work(log: LogUnderTest, numbers: Iterator[int], cuts: int = 3) -> None:
    """Cuts of both kinds with deliveries between and behind them, an open tail, and an orderly stop."""
    for _ in range(cuts):
        log.emit(next(numbers), next(numbers))
        log.emit(next(numbers))
        log.emit(next(numbers), next(numbers))
        log.deliver_all()
    log.log.writer.cut()  # as its age makes it: nothing is begun behind it
    log.deliver_all()
    log.emit(next(numbers))
    log.log.journal.stop()


def go_on(log: LogUnderTest) -> None:
    """A cut as the number of events makes it, delivered, an open tail, and an orderly stop."""
    log.emit(1000, 1001)
    log.emit(1002, 1003)
    log.deliver_all()
    log.emit(1004)
    log.log.journal.stop()


def moments(
    start: Moment | None,
    state: StateFile,
    act: Callable[[Log], None],
    files: ForgetfulFiles | None = None,
    opened: Callable[[ForgetfulFiles, StateFile, Acknowledged], Log] = LogUnderTest,  # type: ignore[assignment]
    among: range | None = None,
) -> Iterator[Moment]:
    """Live from `start` (or from nothing) on `files`, and give what a stop before each operation, and one after the
    last, would leave; or before those `among` alone, and then no longer than to the last of them."""
    files = files or (start.files.copy() if start else ForgetfulFiles())
    state.put(start.state if start and start.state[0] else None)
    acknowledged = dict(start.acknowledged) if start else {}
    found: list[Moment] = []

    def note(number: int, name: str) -> None:
        if among is None or number in among:
            found.append(Moment(number, files.copy(), state.content(), dict(acknowledged)))
        elif number >= among.stop:
            raise Stopped

    files.before = note
    with suppress(Stopped):
        act(opened(files, state, acknowledged))
        note(len(files.operations) + 1, "end")
    files.before = lambda number, name: None
    state.close()
    return iter(found)


def distinct(found: Iterator[Moment]) -> Iterator[Moment]:
    """Each only once."""
    seen: set[int] = set()
    for moment in found:
        if moment.digest not in seen:
            seen.add(moment.digest)
            yield moment


def check_next_life(moment: Moment, state: StateFile) -> None:
    """Start again from what a stop left: everything acknowledged is there once, and life goes on."""
    state.put(moment.state if moment.state[0] else None)
    acknowledged = dict(moment.acknowledged)
    files = moment.files.copy()
    again = LogUnderTest(files, state, acknowledged)
    assert not again.log.recovery.holes
    again.check()
    for number in sorted(acknowledged):
        again.emit(number)  # a retry after a restart adds nothing
    again.check()
    again.emit(999)  # to an open segment, so that a cut that was lost comes out different
    go_on(again)
    again.check()
    last = LogUnderTest(files, state, acknowledged)
    assert last.log.recovery.clean
    last.deliver_all()
    last.check()
    last.check_records()
