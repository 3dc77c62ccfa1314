"""What is asked of a storage as a whole once an hour: whether it keeps versions yet, and can be read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.state.storage_damage import Damage
from server.storage.ports import StorageError

VERSIONS_SUSPENDED: Final = "versions-suspended"
_NOTHING: Final[Mapping[str, Damage]] = MappingProxyType({})


class WholeStorage:
    """Has alerts of one storage stand and go; a Subject of the scrub without names."""

    def __init__(
        self,
        storage_id: str,
        without_versions: Callable[[str], Sequence[str]],
        reads: Mapping[AlertKind, Callable[[], bool]],
        alerts: Alerts,
    ) -> None:
        """`without_versions` gives what of a storage keeps none, though it was to; `reads` try what the alerts of these
        kinds are about, and give whether it went well. All may raise StorageError."""
        self._storage_id = storage_id
        self._without_versions = without_versions
        self._reads = reads
        self._alerts = alerts

    @property
    def damage(self) -> Mapping[str, Damage]:
        """None: no object is wrong for it."""
        return _NOTHING

    def begin(self) -> None:
        """Nothing was found before a stop that a look doesn't find."""

    def look(self) -> list[str]:
        """Ask, and raise or clear alerts; there is nothing to check.

        Raises:
            StorageError: it can't be told now whether versions are kept; that alert stays as it is.
        """
        for kind, read in self._reads.items():
            # Uses are counted, and where there are none an alert would stand for ever.
            if self._alerts.is_quiet(self._storage_id, kind) and _went_well(read):
                self._alerts.seen_well(self._storage_id, kind)
        if without := self._without_versions(self._storage_id):
            self._alerts.raise_standing(self._storage_id, VERSIONS_SUSPENDED, ", ".join(without))
        else:
            self._alerts.clear_standing(self._storage_id, VERSIONS_SUSPENDED)
        return []

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Nothing has a name here."""


def _went_well(read: Callable[[], bool]) -> bool:
    try:
        return read()
    except StorageError:
        return False
