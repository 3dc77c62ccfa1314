"""Works that go on at once, the same way each time: one at a time of their threads runs, and each operation on files
hands on to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.crash.forgetful_files import ForgetfulFiles

Result = TypeVar("Result")


def interleaved(files: ForgetfulFiles, works: Sequence[Callable[[], Result]]) -> list[Result]:
    """Do all works, changing from one to the next before each operation on `files`; what one raises is raised."""
    turns = Turns(len(works))
    before, threads = files.before, dict[int, int]()
    results = dict[int, Result]()
    faults: list[BaseException] = []

    def hand_on(number: int, name: str) -> None:
        before(number, name)
        if threading.get_ident() in threads:
            turns.hand_on(threads[threading.get_ident()])

    def run(index: int) -> None:
        threads[threading.get_ident()] = index
        turns.begin(index)
        try:
            results[index] = works[index]()
        except BaseException as fault:
            faults.append(fault)
        finally:
            turns.end(index)

    files.before = hand_on
    started = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in started:
        thread.start()
    turns.begin_first()
    for thread in started:
        thread.join()
    files.before = before
    if faults:
        raise faults[0]
    return [results[index] for index in range(len(works))]


class Turns:
    """Whose turn it is, around and around among those that are not at their end."""

    def __init__(self, number: int) -> None:
        self._gates = [threading.Semaphore(0) for _ in range(number)]
        self._left = list(range(number))

    def begin_first(self) -> None:
        """Let the first one go."""
        if self._left:
            self._gates[self._left[0]].release()

    def begin(self, index: int) -> None:
        """Wait for the first turn."""
        self._gates[index].acquire()

    def hand_on(self, index: int) -> None:
        """Let the next one go, and wait for another turn."""
        following = self._left[(self._left.index(index) + 1) % len(self._left)]
        if following != index:
            self._gates[following].release()
            self._gates[index].acquire()

    def end(self, index: int) -> None:
        """Let the next one go for good."""
        place = self._left.index(index)
        self._left.remove(index)
        if self._left:
            self._gates[self._left[place % len(self._left)]].release()
