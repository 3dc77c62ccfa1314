"""How many uploads are open and how many of them are abandoned, as status, metrics and alerts tell it."""

from __future__ import annotations

from collections.abc import Callable

from server.recordings.recording import Upload
from server.state.uploads import SqlUploads, UploadRow


class OpenUploads:
    """Looks at the state now and then, and tells what it saw last. Safe to use from any thread."""

    def __init__(
        self,
        store: SqlUploads,
        view: Callable[[UploadRow], Upload],
        abandoned_after_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        """`view` makes an upload of its row, with what only the running service knows of it."""
        self._store = store
        self._view = view
        self.abandoned_after_ms = abandoned_after_ms
        """How long nobody may go on with one until it counts as abandoned; may be changed at any time."""
        self._now_ms = now_ms
        self.open = 0
        self.abandoned = 0
        self.unreadable = 0
        """Uploads that the last start found and couldn't take up."""

    def look(self) -> None:
        """Count. Blocks.

        Raises:
            StateFault: the state database can't do it now; what was seen before stays.
        """
        untouched = self._store.untouched(self._now_ms() - self.abandoned_after_ms)
        self.abandoned = sum(self._view(row).abandoned for row in untouched)
        self.open = self._store.count_open()
