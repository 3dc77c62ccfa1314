"""Beginning uploads: in the storage first, then in the state; what was refused is in neither of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rbac.identities import Identity
from server.recordings.storages import RecordingStorages
from server.recordings.uploads.begun import Begun
from server.recordings.uploads.ending import place_of
from server.recordings.uploads.owners import owner_key
from server.state.database import StateFault, may_be_committed
from server.state.uploads import OpenLimits, SqlUploads, TooManyUploads, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import UploadPlace


class Beginnings:
    """Begins uploads. Blocks; safe to use from several threads."""

    def __init__(
        self, store: SqlUploads, storages: RecordingStorages, failed: Callable[[str, StorageError], None]
    ) -> None:
        """`failed` is told of a storage in which none can be begun, and why."""
        self._store = store
        self._storages = storages
        self._failed = failed
        self._untold: list[UploadRow] = []
        """Refused uploads of which the state may have something all the same: nobody has their ids."""

    def add(self, begun: Begun, who: Identity, limits: OpenLimits) -> UploadRow:
        """Have an upload durably begun.

        Raises:
            TooManyUploads: as many as may be are open.
            StorageError, StateFault: it can't be done now.
        """
        self._withdraw_untold()  # so that there is never more than one, however often it is tried
        self._store.check_room(owner_key(who), limits)
        storage = self._storages.active
        try:
            place = storage.begin(begun.session_id, begun.key, begun.encode())
        except StorageError as error:
            self._failed(storage.storage_id, error)
            with contextlib.suppress(StorageError):
                storage.forget(UploadPlace(begun.session_id, begun.key))
            raise
        row = begun.row(place, storage.storage_id)
        try:
            self._store.add(row, limits)
        except (TooManyUploads, StateFault) as error:
            if may_be_committed(error):
                self._untold.append(row)
            else:
                self._take_back(row)
            raise
        return row

    def withdraw(self, row: UploadRow) -> None:
        """Have an upload that was begun and told to nobody not be there; where that can't be now, before the next."""
        self._untold.append(row)
        with contextlib.suppress(StateFault, StorageError):
            self._withdraw_untold()

    def _withdraw_untold(self) -> None:
        for row in self._untold.copy():
            self._store.withdraw(row)
            with contextlib.suppress(StorageError):  # a start would have it open, and list it as abandoned in time
                self._storages.of(row.storage).forget(place_of(row))
            with contextlib.suppress(ValueError):  # another thread was as fast
                self._untold.remove(row)

    def _take_back(self, row: UploadRow) -> None:
        """Forget what was refused: nobody has its id, and a start would have it as open. What the state has stays."""
        with contextlib.suppress(StateFault, StorageError):
            if self._store.get(row.key) is None:
                self._storages.of(row.storage).forget(place_of(row))
