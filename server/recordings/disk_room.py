"""Whether the disk has room for recordings: they stop well before its floor closes the intake of events."""

from __future__ import annotations

from server.errors import ResourceExhausted

RETRY_SECONDS = 5.0


class DiskRoom:
    """Asked for every chunk, told of the disk's free space a few times a second. Lives on the event loop.

    Between two looks it counts what was let in, so that a burst can't outrun them.
    """

    def __init__(self, floor_bytes: int) -> None:
        self.floor_bytes = floor_bytes
        """Free space that recordings must leave; may be changed at any time."""
        self._free_bytes: int | None = None
        self._since = 0

    def observe(self, free_bytes: int) -> None:
        """Take in how much the disk has left."""
        self._free_bytes = free_bytes
        self._since = 0

    def admit(self, size: int) -> None:
        """Let `size` bytes in.

        Raises:
            ResourceExhausted: they would take the disk below the floor.
        """
        if self._free_bytes is not None and self._free_bytes - self._since - size < self.floor_bytes:
            message = "the disk has less free space than recordings must leave; try again later"
            raise ResourceExhausted(message, reason="DISK_FLOOR", retry_after=RETRY_SECONDS)
        self._since += size
