"""Where new data goes, as the audit log does it: the port of what promotion and disabling set off."""

from __future__ import annotations

from typing import Protocol


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
