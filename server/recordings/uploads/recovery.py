"""What a start takes up again: uploads whose end was under way, and what the state has lost and the storage knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice

from server.recordings.recording import UploadState
from server.recordings.uploads.begun import Begun
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.ending import Endings, place_of, recording_row
from server.recordings.uploads.owners import owner_key, owner_of
from server.recordings.uploads.upload_ids import key_of
from server.state.uploads import ABORTED, ASIDE, OPEN, RECORDING, RecordingRow, SqlUploads, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import FoundUpload, RecordingStorage, UploadPlace

_RECALLED_AT_ONCE = 500
"""Recordings that one transaction adds while the service runs; others wait for it."""
_log = logging.getLogger(__name__)


def recover(store: SqlUploads, storage: RecordingStorage, endings: Endings) -> int:
    """Take up what a stop has left, one upload after the other; one that can't be is left for later. Blocks.

    Returns:
        How many uploads couldn't be taken up.

    Raises:
        StorageError: the storage can't be listed. StateFault: the state database can't do it now.
    """
    is_lost = not store.knows_recordings()
    failed = 0
    for found in storage.uploads():
        try:
            _take_up(found, store, storage, endings)
        except (StorageError, ValueError) as error:
            failed += 1
            _log.error("an upload can't be taken up", extra={"fields": {"upload": found.key, "reason": str(error)}})
    if is_lost:  # only now: a recording may have its custody record and wait for its data
        store.put_back_recordings(list(rows_of_custody_records(storage)))
    return failed


def _take_up(found: FoundUpload, store: SqlUploads, storage: RecordingStorage, endings: Endings) -> None:
    row = store.get(found.key)
    if row is None:
        begun = Begun.decode(found.begun, found.key)
        row = begun.row(UploadPlace(begun.session_id, found.key, found.handle), storage.storage_id)
        store.put_back(row)
    if row.state != OPEN:
        storage.forget(place_of(row))
    elif endings.is_decided(row):
        endings.finish(row)


def rows_of_custody_records(storage: RecordingStorage) -> Iterator[tuple[UploadRow, RecordingRow]]:
    """What the state would keep of everything that the storage has a custody record of; damaged records are left out.

    Raises:
        StorageError: the storage can't be listed.
    """
    for session_id, data, is_aside in storage.custody_records():
        try:
            custody = Custody.decode(data)
            if custody.session_id != session_id:
                raise ValueError("a custody record is another session's")
        except ValueError as error:
            _log.error("a custody record can't be read", extra={"fields": {"reason": str(error)}})
            continue
        state, kind = UploadState.COMPLETED, RECORDING
        if is_aside:
            state, kind = UploadState.KEPT_ASIDE, ASIDE
        if custody.aborted:
            state, kind = UploadState.ABORTED, ABORTED
        kept = recording_row(key_of(custody.upload_id), custody, kind, storage.storage_id, "")
        yield _ended_row(custody, kept, state), kept


def recall(store: SqlUploads, storage: RecordingStorage) -> None:
    """Have the state know again what the storage has custody records of, while uploads come and end. Blocks.

    Raises:
        StorageError: the storage can't be listed. StateFault: the state database can't do it now.
    """
    records = rows_of_custody_records(storage)
    while some := list(islice(records, _RECALLED_AT_ONCE)):
        store.put_back_recordings([pair for pair in some if _is_settled(store, *pair)])


def _is_settled(store: SqlUploads, row: UploadRow, kept: RecordingRow) -> bool:
    """Whether nothing speaks against a custody record: an upload that is open, or another recording of the session."""
    known = store.get(row.key)
    if known is not None and known.state == OPEN:
        return False
    recording = store.recording(kept.session_id) if kept.kind == RECORDING else None
    return recording is None or recording.key == kept.key


def _ended_row(custody: Custody, kept: RecordingRow, state: UploadState) -> UploadRow:
    return UploadRow(
        kept.key,
        kept.upload_id,
        kept.session_id,
        kept.storage,
        kept.handle,
        state.value,
        kept.uploader,
        owner_key(owner_of(custody.uploader)),
        kept.bytes,
        kept.begun_ms,
        kept.resumed_ms,
        kept.completed_ms,
        kept.completed_ms,
        kept.partial,
    )
