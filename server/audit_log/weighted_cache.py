"""A cache with a bound on what its entries weigh together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class WeightedCache(Generic[Key, Value]):
    """Keeps what was used last, within a bound on the sum of weights. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._weight = 0
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._lock = Lock()

    def __contains__(self, key: Key) -> bool:
        """Whether something is kept under a key."""
        with self._lock:
            return key in self._entries

    def get(self, key: Key, make: Callable[[], tuple[Value, int]]) -> Value:
        """What is kept under a key, or what `make` gives: a value and its weight. What it raises keeps nothing."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key][0]
        value, weight = make()
        with self._lock:
            if key not in self._entries:
                self._entries[key] = value, weight
                self._weight += weight
            while self._weight > self._most and len(self._entries) > 1:
                self._weight -= self._entries.popitem(last=False)[1][1]
        return value
