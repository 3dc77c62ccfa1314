"""What is kept of sessions: their recordings, and uploads that didn't become any."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from server.recordings.recording import Recording, Upload, UploadState
from server.recordings.uploads.views import recording_of
from server.state.uploads import ABORTED, SqlUploads, UploadRow

_UNFINISHED = frozenset({UploadState.OPEN.value, UploadState.ABORTED.value})


class KeptRecordings:
    """Looks them up in the state. Blocking; safe to use from several threads."""

    def __init__(self, store: SqlUploads, view: Callable[[UploadRow], Upload]) -> None:
        """`view` makes an upload of its row, with what only the running service knows of it."""
        self._store = store
        self._view = view

    def recordings_of(self, session_ids: Collection[str]) -> Sequence[Recording]:
        """Their recordings and those kept aside, oldest first.

        Raises:
            StateFault: the state database can't do it now.
        """
        return [recording_of(row) for row in self._store.recordings_of(session_ids) if row.kind != ABORTED]

    def uploads_of(self, session_ids: Collection[str]) -> Sequence[Upload]:
        """Their uploads that are open or aborted, oldest first.

        Raises:
            StateFault: the state database can't do it now.
        """
        return [self._view(row) for row in self._store.uploads_of(session_ids) if row.state in _UNFINISHED]
