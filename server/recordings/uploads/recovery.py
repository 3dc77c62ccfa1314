"""What a start takes up again: uploads whose end was under way, and what the state has lost and the storage knows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

from server.recordings.recording import UploadState
from server.recordings.uploads.begun import Begun
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.ending import KINDS, Endings, ended_state, place_of, recording_row
from server.recordings.uploads.owners import owner_key, owner_of
from server.recordings.uploads.upload_ids import key_of
from server.state.uploads import ASIDE, OPEN, RECORDING, RecordingRow, SqlUploads, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import Choose, FoundUpload, RecordingStorage, UploadPlace, choose_all

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
    failed = 0
    keys = set[str]()
    for found in storage.uploads():
        keys.add(found.key)
        try:
            _take_up(found, store, storage, endings)
        except (StorageError, ValueError) as error:
            failed += 1
            _log_failure(found.key, error)
    for row in store.open():
        if row.storage == storage.storage_id and row.key not in keys:
            failed += not end_again(row, endings)
    # Only now: a recording may have its custody record and wait for its data.
    recall_missing(store, storage)
    return failed


def recover_spooled(store: SqlUploads, storage: RecordingStorage) -> int:
    """Know again the uploads of a storage beyond a network, as far as this machine has them. Blocks.

    Returns:
        How many uploads couldn't be taken up.

    Raises:
        StorageError: they can't be listed. StateFault: the state database can't do it now.
    """
    failed = 0
    for found in storage.uploads():
        try:
            row = _row_of(found, store, storage)
            if row.state != OPEN:
                storage.forget(place_of(row))
        except (StorageError, ValueError) as error:
            failed += 1
            _log_failure(found.key, error)
    return failed


def end_again(row: UploadRow, endings: Endings) -> bool:
    """End what is open by a state that is older than the storage: the upload had ended when the state was copied back.

    Gives whether it has ended. What repeated another recording left nothing that could tell of it.
    """
    try:
        if endings.end_again(row):
            return True
        raise StorageError("the storage doesn't have the upload that the state has as open")
    except (StorageError, ValueError) as error:
        _log_failure(row.key, error)
        return False


def _log_failure(key: str, error: Exception) -> None:
    _log.error("an upload can't be taken up", extra={"fields": {"upload": key, "reason": str(error)}})


def _row_of(found: FoundUpload, store: SqlUploads, storage: RecordingStorage) -> UploadRow:
    row = store.get(found.key)
    if row is None:
        begun = Begun.decode(found.begun, found.key)
        row = begun.row(UploadPlace(begun.session_id, found.key, found.handle), storage.storage_id)
        store.put_back(row)
    return row


def _take_up(found: FoundUpload, store: SqlUploads, storage: RecordingStorage, endings: Endings) -> None:
    row = _row_of(found, store, storage)
    if row.state != OPEN:
        storage.forget(place_of(row))
    elif endings.is_decided(row):
        endings.finish(row)


def rows_of_custody_records(
    storage: RecordingStorage, is_ours: Callable[[Custody], bool], choose: Choose
) -> Iterator[tuple[UploadRow, RecordingRow]]:
    """What the state would keep of what the storage has a chosen custody record of; damaged records are left out.

    Raises:
        StorageError: the storage can't be listed.
    """
    refused, reason = 0, ""
    for (session_id, key), data, is_aside in storage.custody_records(choose):
        try:
            custody = Custody.decode(data)
            if custody.session_id != session_id or key not in ("", key_of(custody.upload_id)):
                raise ValueError("a custody record is another upload's")
            if not is_ours(custody):
                raise ValueError("a custody record has no proof that this service made it")
        except ValueError as error:  # told together: others can put as many as they like
            refused, reason = refused + 1, reason or str(error)
            continue
        state = ended_state(custody, is_aside=is_aside)
        kept = recording_row(key_of(custody.upload_id), custody, KINDS[state], storage.storage_id, "")
        yield _ended_row(custody, kept, state), kept
    if refused:
        fields = {"storage": storage.storage_id, "records": str(refused), "reason": reason}
        _log.error("custody records aren't believed", extra={"fields": fields})


def recall_missing(
    store: SqlUploads, storage: RecordingStorage, is_ours: Callable[[Custody], bool] = lambda _: True
) -> None:
    """Recall what the storage has a custody record of and the state doesn't know. Blocks.

    How many each has tells nothing: what expired isn't in the storage any more, and others can put some there.
    `is_ours` tells whether the service made a custody record, where others can write to the storage.

    Raises:
        StorageError: the storage can't be listed. StateFault: the state database can't do it now.
    """
    _put_back(store, storage, rows_of_custody_records(storage, is_ours, store.unknown))


def recall(store: SqlUploads, storage: RecordingStorage) -> None:
    """Have the state know again all that the storage has custody records of, and their sessions; uploads may come and
    end meanwhile. Only for a storage that nobody else can write to. Blocks.

    Raises:
        StorageError: the storage can't be listed. StateFault: the state database can't do it now.
    """
    _put_back(store, storage, rows_of_custody_records(storage, lambda *_: True, choose_all))


def _put_back(store: SqlUploads, storage: RecordingStorage, records: Iterator[tuple[UploadRow, RecordingRow]]) -> None:
    while some := list(islice(records, _RECALLED_AT_ONCE)):
        while some:  # what has become otherwise since it was looked at is looked at again
            settled = [_settled(store, storage, *pair) for pair in some]
            some = store.put_back_recordings([pair for pair in settled if pair is not None])


def _settled(
    store: SqlUploads, storage: RecordingStorage, row: UploadRow, kept: RecordingRow
) -> tuple[UploadRow, RecordingRow] | None:
    """What is put back of a custody record: nothing while its upload is open.

    A session that has got another recording meanwhile keeps that one, as it does one that is put back before this. Then
    this one is as if kept aside, where the storage gives it back as that.
    """
    known = store.get(row.key)
    if known is not None and known.state == OPEN:
        return None
    recording = store.recording(kept.session_id) if kept.kind == RECORDING else None
    if recording is None or recording.key == kept.key:
        return row, kept
    if storage.custody(place_of(row), aside=True) is None:
        return None
    return replace(row, state=UploadState.KEPT_ASIDE.value), replace(kept, kind=ASIDE)


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
