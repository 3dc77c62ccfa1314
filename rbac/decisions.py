"""What Casbin has answered, remembered: it is asked once per question."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final, Protocol

from rbac.conditions import Condition

MAX_DECISIONS: Final = 100_000


@dataclass(frozen=True, slots=True)
class AllowIf:
    """Allowed if any of `allow` is true (if there are none: in any case) and every one of `deny` is false."""

    allow: tuple[Condition, ...]
    deny: tuple[Condition, ...]


Verdict = bool | AllowIf


class Decider(Protocol):
    """Who decides: right, slow, and for one thread at a time."""

    def decide(self, roles: frozenset[str], is_user: bool, kind: str, verb: str) -> Verdict:
        """Decide one verb on one kind for a caller with these roles."""
        ...


class DecisionTable:
    """Remembers decisions of one policy and dies with it. Safe for threads; only a new question takes the lock."""

    def __init__(self, decider: Decider, limit: int = MAX_DECISIONS) -> None:
        self._decider = decider
        self._limit = limit
        self._lock = threading.Lock()
        self._known: dict[tuple[frozenset[str], bool, str, str], Verdict] = {}

    def decide(self, roles: frozenset[str], is_user: bool, kind: str, verb: str) -> Verdict:
        """Answer from memory, or ask. An error of the decider is raised and not remembered."""
        key = (roles, is_user, kind, verb)
        known = self._known.get(key)
        return self._ask(key) if known is None else known

    def _ask(self, key: tuple[frozenset[str], bool, str, str]) -> Verdict:
        with self._lock:
            if (known := self._known.get(key)) is not None:
                return known
            decision = self._decider.decide(*key)
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[key] = decision
            return decision
