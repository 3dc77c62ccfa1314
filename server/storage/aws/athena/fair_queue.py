"""The queue of queries: one for each identity, served in turn, so that nobody's many hold up another's one."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """Items by whose they are. Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[Hashable, deque[Item]] = OrderedDict()
        """Whose turn is next comes first."""
        self._closed = False

    def put(self, whose: Hashable, item: Item) -> None:
        """Add an item behind the others of the same identity."""
        with self._changed:
            self._waiting.setdefault(whose, deque()).append(item)
            self._changed.notify()

    def take(self) -> Item | None:
        """The next item, once there is one; None when the queue is closed. Its identity then has to wait its turn."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            whose, items = self._waiting.popitem(last=False)
            item = items.popleft()
            if items:
                self._waiting[whose] = items
            return item

    def discard(self, whose: Hashable, item: Item) -> bool:
        """Take an item out that nobody waits for any more; False where it was taken already."""
        with self._changed:
            items = self._waiting.get(whose)
            if items is None or item not in items:
                return False
            items.remove(item)
            if not items:
                del self._waiting[whose]
            return True

    def close(self) -> list[Item]:
        """Have every `take` give None; what was waiting comes back."""
        with self._changed:
            self._closed = True
            left = [item for items in self._waiting.values() for item in items]
            self._waiting.clear()
            self._changed.notify_all()
            return left

    def __len__(self) -> int:
        with self._changed:
            return sum(map(len, self._waiting.values()))
