"""Reading several things at once and giving them one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Part = TypeVar("Part")

_AHEAD = 4
_END_SECONDS = 5.0


def prefetched(
    items: Iterable[Item], read: Callable[[Item], Iterator[Part]], parallel: int
) -> Generator[tuple[Item, Iterator[Part]], None, None]:
    """For each item, in order, the parts that `read` gives of it, while the next ones are read on threads of their own.

    `parallel` items are read at once, and of each at most four parts wait to be taken. What `read` raises is raised
    where its parts are taken. When the iterator is closed the threads end with the part that they wait for.
    """
    waiting: deque[tuple[Item, _Lane[Part]]] = deque()
    try:
        for item in items:
            waiting.append((item, _Lane(read, item)))
            if len(waiting) >= parallel:
                first, lane = waiting[0]
                yield first, lane.parts()
                waiting.popleft()[1].stop()
        while waiting:
            first, lane = waiting[0]
            yield first, lane.parts()
            waiting.popleft()[1].stop()
    finally:
        for _, lane in waiting:
            lane.stop()
        for _, lane in waiting:
            lane.join()


class _Lane(Generic[Part]):
    """One item being read."""

    def __init__(self, read: Callable[[Item], Iterator[Part]], item: Item) -> None:
        self._changed = threading.Condition()
        self._parts: deque[Part] = deque()
        self._stopped = False
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(read, item), name="prefetch", daemon=True)
        self._thread.start()

    def parts(self) -> Iterator[Part]:
        """What was read, as it comes."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._parts or self._ended)
                if not self._parts:
                    break
                part = self._parts.popleft()
                self._changed.notify_all()
            yield part
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Read no further."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self) -> None:
        """Wait for the thread's end, but not for a service that doesn't answer."""
        self._thread.join(_END_SECONDS)

    def _run(self, read: Callable[[Item], Iterator[Part]], item: Item) -> None:
        try:
            for part in read(item):
                with self._changed:
                    self._changed.wait_for(lambda: len(self._parts) < _AHEAD or self._stopped)
                    if self._stopped:
                        return
                    self._parts.append(part)
                    self._changed.notify_all()
        except BaseException as error:  # whoever takes the parts gets it
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
