"""Where new data goes, as the audit log does it: the port of what promotion and disabling set off."""

from __future__ import annotations

from typing import Protocol

from server.errors import FailedPrecondition
from server.external_storage.placement import DEFAULT_STORAGE


class Switch(Protocol):
    """Has new data go to another storage."""

    def problem(self) -> str:
        """Why the service can't switch to an external audit storage now, in words; '' where it can. Cheap."""
        ...

    async def to(self, storage_id: str) -> None:
        """Have new data go there, durably: what is acknowledged after this returned went there.

        The state names the storage already. Safe to repeat; to where data goes already it does nothing.

        Raises:
            Unavailable: it isn't done, or not known to be; a start does it again.
        """
        ...


class NoSwitch:
    """Stands where this build delivers to the embedded storage alone."""

    def problem(self) -> str:
        """That it can't."""
        return "this build delivers to the embedded storage alone"

    async def to(self, storage_id: str) -> None:
        """Nothing for the embedded storage, where data goes already; any other is refused."""
        if storage_id != DEFAULT_STORAGE:
            raise FailedPrecondition(self.problem(), reason="SWITCH_UNAVAILABLE")
