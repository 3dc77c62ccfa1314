"""Whether a storage still keeps versions: all that is promised of what others can't take away rests on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from server.observability.alerts.alerts import Alerts
from server.state.storage_damage import Damage

ALERT: Final = "versions-suspended"
_NOTHING: Final[Mapping[str, Damage]] = MappingProxyType({})


class KeptVersions:
    """Has an alert stand as long as one of a storage's buckets keeps none; a Subject of the scrub without names."""

    def __init__(self, storage_id: str, without: Callable[[str], Sequence[str]], alerts: Alerts) -> None:
        """`without` gives the buckets of a storage that keep none, though they were to; it may raise StorageError."""
        self._storage_id = storage_id
        self._without = without
        self._alerts = alerts

    @property
    def damage(self) -> Mapping[str, Damage]:
        """None: nothing that is stored is wrong for it."""
        return _NOTHING

    def begin(self) -> None:
        """Nothing was found before a stop that this look doesn't find."""

    def look(self) -> list[str]:
        """Ask, and raise or clear the alert; there is nothing to check.

        Raises:
            StorageError: it can't be told now; the alert stays as it is.
        """
        if without := self._without(self._storage_id):
            self._alerts.raise_standing(self._storage_id, ALERT, ", ".join(without))
        else:
            self._alerts.clear_standing(self._storage_id, ALERT)
        return []

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Nothing has a name here."""
