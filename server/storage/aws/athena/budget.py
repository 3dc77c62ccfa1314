"""The budget: how many bytes the queries of one identity may have Athena read within a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable

from server.storage.finding import FinderBusy


class ReadBudget:
    """What each identity had read within the last `period_seconds`. Safe to use from several threads.

    What a query reads is known at its end, so those that run at once may go beyond the budget, each by no more than the
    workgroup lets a query read.
    """

    def __init__(self, most_bytes: int, period_seconds: float, clock: Callable[[], float]) -> None:
        """0 bytes are no bound."""
        self._most_bytes = most_bytes
        self._period = period_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[Hashable, deque[tuple[float, int]]] = {}

    def check(self, whose: Hashable) -> None:
        """Refuse whoever has nothing left.

        Raises:
            FinderBusy: with the seconds until there is something again.
        """
        if not self._most_bytes:
            return
        with self._lock:
            spent = self._recent(whose)
            over = sum(size for _, size in spent) - self._most_bytes
            if over < 0:
                return
            for at, size in spent:
                over -= size
                if over < 0:
                    wait = at + self._period - self._clock()
                    raise FinderBusy("the queries of this identity have had Athena read as much as they may", wait)

    def spend(self, whose: Hashable, size: int) -> None:
        """Count what a query read."""
        with self._lock:
            if size:
                self._spent.setdefault(whose, deque()).append((self._clock(), size))
            for each in list(self._spent):
                self._recent(each)

    def _recent(self, whose: Hashable) -> deque[tuple[float, int]]:
        spent = self._spent.get(whose, deque())
        while spent and spent[0][0] <= self._clock() - self._period:
            spent.popleft()
        if not spent:
            self._spent.pop(whose, None)
        return spent
