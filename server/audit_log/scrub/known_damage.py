"""What is known to be wrong with one subject of a storage: kept, told once, and forgotten once it is right again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from server.state.storage_damage import CHANGED, UNLISTED, Damage, SqlStorageDamage

_log = logging.getLogger(__name__)
MOST_NEW: Final = 1_000
"""Findings of one look: where a whole disk is gone, the next looks tell of the rest."""
Fault = tuple[str, str]
"""Kind and detail."""


class KnownDamage:
    """Used by one thread; `found` may be read by any."""

    def __init__(
        self, store: SqlStorageDamage, storage_id: str, is_of: Callable[[str], bool], now_ms: Callable[[], int]
    ) -> None:
        """`is_of` says by its name whether an object of the storage belongs to the subject."""
        self._store = store
        self._storage_id = storage_id
        self._is_of = is_of
        self._now_ms = now_ms
        self.found: Mapping[str, Damage] = MappingProxyType({})
        """By name; replaced, never changed."""

    def begin(self) -> None:
        """Take up what was found before a stop. StateFault if it can't be read."""
        known = [each for each in self._store.all() if each.storage == self._storage_id and self._is_of(each.name)]
        self.found = MappingProxyType({each.name: each for each in known})

    def judge(self, name: str, fault: Fault | None) -> None:
        """Keep what a reading came to: what is wrong, or None if it is as it was stored."""
        before = self.found.get(name)
        if fault is None:
            if before is not None and before.kind != UNLISTED:
                self._mend(before)
        # That what has another size can't be read either is no news: else each look would tell both in turn.
        elif before is None or before.kind not in (fault[0], CHANGED):
            self._find(name, *fault)

    def take(self, found: Mapping[str, Fault]) -> None:
        """Keep what a look at everything came to."""
        new = 0
        for name, (kind, detail) in found.items():
            before = self.found.get(name)
            if (before is None or before.kind != kind) and new < MOST_NEW:
                self._find(name, kind, detail)
                new += 1
        for name, damage in self.found.items():
            # Whether what was missing or changed is right again only its digest tells.
            if name not in found and damage.kind == UNLISTED:
                self._mend(damage)

    def _find(self, name: str, kind: str, detail: str) -> None:
        damage = Damage(self._storage_id, name, kind, detail, self._now_ms())
        self._store.found(damage)
        self.found = MappingProxyType({**self.found, name: damage})
        _log.error("an object in the storage isn't as it should be", extra={"fields": {"object": name, "kind": kind}})

    def _mend(self, damage: Damage) -> None:
        self._store.mended(damage)
        self.found = MappingProxyType({name: each for name, each in self.found.items() if name != damage.name})
        _log.info("an object in the storage is right again", extra={"fields": {"object": damage.name}})
