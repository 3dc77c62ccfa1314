"""The end of an upload: completed, kept aside, a repeat, or aborted.

Each step can be repeated, and a start goes on where a stop came between two: the custody record is decided, the storage
gives the recording its place, one transaction tells the state and the outbox, the upload is forgotten by the storage.
Everything here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

import orjson

from rbac.identities import IdentityKind
from server.audit_log.access import Access
from server.errors import DataLoss, FailedPrecondition
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.kinds import AlertKind
from server.recordings.recording import UploadState
from server.recordings.storages import RecordingStorages
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.custody_proofs import CustodyProofs
from server.recordings.uploads.events import ending_event
from server.recordings.uploads.kept_bytes import is_intact, read_sha256
from server.recordings.uploads.owners import owner_members, owner_of
from server.recordings.uploads.parts import SCHEDULE, PartSchedule
from server.recordings.uploads.upload_ids import key_of
from server.recordings.uploads.writing import Writing
from server.state.uploads import ABORTED, ASIDE, OPEN, RECORDING, Ending, RecordingRow, SqlUploads, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import RecordingStorage, UploadPlace

_EMBEDDED = "default"
_SPEAK_FOR_OTHERS = frozenset({"Auth", "Proxy"})
"""Components that upload what other servers recorded."""


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What the caller says of an upload that it completes; None and '' say nothing."""

    size: int | None = None
    sha256: str = ""
    custody_digest: str = ""
    partial: bool = False

    def check(self, size: int, *, sha256: str | None = None, custody_digest: str | None = None) -> None:
        """Compare with what arrived; a digest of None isn't known yet.

        Raises:
            FailedPrecondition: it isn't the same.
        """
        if self.size is not None and self.size != size:
            message = f"the upload has {size} bytes, not {self.size}"
            raise FailedPrecondition(message, reason="RECORDING_MISMATCH", bytes=str(size))
        if self.custody_digest and custody_digest is not None and self.custody_digest != custody_digest:
            message = f"the upload's custody digest is {custody_digest}, not {self.custody_digest}"
            raise FailedPrecondition(message, reason="RECORDING_MISMATCH", custody_digest=custody_digest)
        if self.sha256 and sha256 is not None and self.sha256 != sha256:
            message = f"the upload's SHA-256 is {sha256}, not {self.sha256}"
            raise FailedPrecondition(message, reason="RECORDING_MISMATCH", sha256=sha256)


class Endings:
    """Ends uploads; each by one thread at a time."""

    def __init__(
        self,
        store: SqlUploads,
        storages: RecordingStorages,
        servers_of: Callable[[str], Collection[str]],
        now_ms: Callable[[], int],
        proofs: CustodyProofs,
        alerts: Alerts | None = None,
        schedule: PartSchedule = SCHEDULE,
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._storages = storages
        self._servers_of = servers_of
        self._now_ms = now_ms
        self._proofs = proofs
        self._alerts = alerts or Alerts()

    def complete(self, access: Access, row: UploadRow, writing: Writing, request: CompletionRequest) -> UploadRow:
        """Complete an open upload; gives it as it is then.

        Raises:
            FailedPrecondition: it is empty, or isn't what the request says; it stays open.
            StorageError, StateFault, DataLoss: it isn't completed, or not known to be; safe to try again.
        """
        with self._counting(row):
            storage = self._storages.of(row.storage)
            if storage.decided(place_of(row)) is None:
                try:
                    size = writing.open()
                    if not size:
                        raise FailedPrecondition("nothing of the upload has arrived", reason="RECORDING_MISMATCH")
                    request.check(size)
                    sha256 = writing.sha256(wanted=bool(request.sha256))
                    custody = self._custody(access, row, writing, sha256, partial=request.partial)
                finally:
                    writing.close()
                request.check(size, sha256=custody.sha256, custody_digest=custody.custody_digest)
                storage.decide(place_of(row), custody.encode())
            return self._finish(row)

    def abort(self, access: Access, row: UploadRow, writing: Writing) -> UploadRow:
        """Give an open upload up; gives it as it is then.

        Raises:
            StorageError, StateFault, DataLoss: it isn't done, or not known to be; safe to try again.
        """
        with self._counting(row):
            storage = self._storages.of(row.storage)
            if storage.decided(place_of(row)) is None:
                try:
                    writing.open()
                    custody = self._custody(access, row, writing, writing.sha256(wanted=False), aborted=True)
                finally:
                    writing.close()
                storage.decide(place_of(row), custody.encode())
            return self._finish(row)

    def asks(self, row: UploadRow) -> str:
        """The storage that an end of this upload waits for: where another has the session's recording, that is read to
        be compared."""
        kept = self._store.recording(row.session_id)
        return row.storage if kept is None or kept.storage == _EMBEDDED else kept.storage

    def is_own(self, custody: Custody) -> bool:
        """Whether the service made a custody record. May be called from any thread."""
        return self._proofs.is_own(custody)

    def is_decided(self, row: UploadRow) -> bool:
        """Whether an open upload's end was begun, and only `finish` can follow."""
        return self._storages.of(row.storage).decided(place_of(row)) is not None

    def finish(self, row: UploadRow) -> UploadRow:
        """Carry out what was decided; gives the upload as it is then."""
        with self._counting(row):
            return self._finish(row)

    def _counting(self, row: UploadRow) -> AbstractContextManager[None]:
        return self._alerts.counting(row.storage, AlertKind.SESSION_UPLOAD, (StorageError, DataLoss))

    def _finish(self, row: UploadRow) -> UploadRow:
        place, storage = place_of(row), self._storages.of(row.storage)
        decided = storage.decided(place)
        if decided is None:
            raise ValueError("nothing is decided")
        custody = Custody.decode(decided)
        after = self._tell(row, custody, self._place(storage, place, custody))
        storage.forget(place)
        return after

    def sha256_of(self, kept: RecordingRow) -> str:
        """Digest of a recording whole, lower-case hex, also where it wasn't kept: then it is read for it.

        Raises:
            DataLoss: it isn't what was taken. StorageError: it can't be read now.
        """
        return kept.sha256 or read_sha256(self._storages.of(kept.storage), kept, self._schedule)

    def end_again(self, row: UploadRow) -> bool:
        """End an upload that the state has as open and the storage as ended; gives whether the storage has it at all.

        Raises:
            ValueError: what the storage has of its end isn't a custody record.
            StorageError, StateFault: it can't be done now.
        """
        storage, kept = self._storages.of(row.storage), self._store.recording(row.session_id)
        # Whatever its record calls it: a session that has another recording keeps that one.
        for is_aside in (False, True) if kept is None or kept.key == row.key else (True,):
            record = storage.custody(place_of(row), aside=is_aside)
            custody = Custody.decode(record) if record is not None else None
            is_ours = custody is not None and (storage.storage_id == _EMBEDDED or self._proofs.is_own(custody))
            if custody is not None and is_ours and custody.upload_id == row.upload_id:
                self._tell(row, custody, ended_state(custody, is_aside=is_aside))
                return True
        return False

    def _tell(self, row: UploadRow, custody: Custody, state: UploadState) -> UploadRow:
        """Tell the state and the outbox what became of an upload; gives it as it is then."""
        kept = None if state is UploadState.REPEATED else _kept(row, custody, state)
        ending = Ending(state.value, custody.completed_ms, custody.size, custody.partial)
        return self._store.end(row.key, ending, kept, [ending_event(custody, state, row.storage)]) or row

    def _place(self, storage: RecordingStorage, place: UploadPlace, custody: Custody) -> UploadState:
        """Have the storage give an upload its place; says which it is."""
        if custody.aborted:
            storage.keep_aborted(place)
            return UploadState.ABORTED
        kept = self._store.recording(custody.session_id)
        if kept is not None and kept.key != place.key:
            # Also where the storage has it no more: it stays the session's recording, and this may be the only copy.
            repeats = self._repeats(kept, custody, storage)
        else:
            held = _decoded(storage.complete(place))
            if held is not None and held.upload_id == custody.upload_id:
                return UploadState.COMPLETED
            if not self._will_be_known(held, custody.session_id) and storage.complete_beside(place):
                return UploadState.COMPLETED
            repeats = held is not None and self._repeats_held(held, custody, storage)
        if repeats:
            return UploadState.REPEATED
        storage.keep_aside(place)
        return UploadState.KEPT_ASIDE

    def _will_be_known(self, held: Custody | None, session_id: str) -> bool:
        """Whether what its storage has under a session's name is an upload of ours of which the state knows no end: it
        is told of next, or has been lost and is recalled. All else was put there by others, or is no recording."""
        if held is None or held.session_id != session_id or held.aborted or not self._proofs.is_own(held):
            return False
        known = self._store.get(key_of(held.upload_id))
        return known is None or known.state == OPEN

    def _repeats(self, kept: RecordingRow, custody: Custody, storage: RecordingStorage) -> bool:
        """Whether an upload is what the session's recording is; False where another storage can't tell that now."""
        if kept.custody_digest != custody.custody_digest:
            return False
        try:
            place = UploadPlace(kept.session_id, kept.key, kept.handle)
            return is_intact(self._storages.of(kept.storage), place, custody.parts)
        except StorageError:
            if kept.storage == storage.storage_id:
                raise
            return False

    def _repeats_held(self, held: Custody, custody: Custody, storage: RecordingStorage) -> bool:
        """Whether an upload is what its storage has as the session's recording, of which the state knows nothing."""
        if (held.session_id, held.parts) != (custody.session_id, custody.parts) or not self._is_kept(storage, held):
            return False
        return is_intact(storage, UploadPlace(held.session_id, key_of(held.upload_id)), held.parts)

    def _is_kept(self, storage: RecordingStorage, held: Custody) -> bool:
        """Whether the service took it as the session's recording: what repeats one of others, nobody could read.

        A state that was lost learns of it later. Nobody else writes to the embedded storage, and in a bucket its
        record has a proof.
        """
        if storage.storage_id == _EMBEDDED:
            return True
        is_unknown = self._store.get(key_of(held.upload_id)) is None
        return is_unknown and self._proofs.is_own(held)

    def _custody(
        self,
        access: Access,
        row: UploadRow,
        writing: Writing,
        sha256: str,
        *,
        partial: bool = False,
        aborted: bool = False,
    ) -> Custody:
        uploader = orjson.loads(row.owner)
        ended_by = owner_members(access.identity, access.peer) | {"request_id": access.request_id}
        custody = Custody(
            row.session_id,
            row.upload_id,
            writing.parts(),
            sha256,
            uploader,
            ended_by,
            row.begun_ms,
            row.resumed_ms,
            self._now_ms(),
            partial,
            aborted,
            self._is_of_other_server(row),
        )
        return self._proofs.proven(custody)

    def _is_of_other_server(self, row: UploadRow) -> bool:
        owner = owner_of(orjson.loads(row.owner))
        if owner.kind is IdentityKind.COMPONENT and owner.roles & _SPEAK_FOR_OTHERS:
            return False
        servers = self._servers_of(row.session_id)
        return bool(servers) and owner.name not in servers


def _decoded(record: bytes | None) -> Custody | None:
    """What a storage has beside the session's recording; None where it is damaged: then the upload is worth keeping."""
    try:
        return Custody.decode(record) if record is not None else None
    except ValueError:
        return None


def place_of(row: UploadRow) -> UploadPlace:
    """Where the storage has an upload."""
    return UploadPlace(row.session_id, row.key, row.handle)


def ended_state(custody: Custody, *, is_aside: bool) -> UploadState:
    """What became of an upload, by where the storage has its custody record."""
    if custody.aborted:
        return UploadState.ABORTED
    return UploadState.KEPT_ASIDE if is_aside else UploadState.COMPLETED


KINDS = {UploadState.COMPLETED: RECORDING, UploadState.KEPT_ASIDE: ASIDE, UploadState.ABORTED: ABORTED}


def _kept(row: UploadRow, custody: Custody, state: UploadState) -> RecordingRow:
    return recording_row(row.key, custody, KINDS[state], row.storage, row.handle)


def recording_row(key: str, custody: Custody, kind: str, storage: str, handle: str) -> RecordingRow:
    """What the state keeps of a custody record."""
    return RecordingRow(
        key,
        custody.upload_id,
        custody.session_id,
        kind,
        storage,
        handle,
        custody.size,
        len(custody.parts),
        custody.custody_digest,
        custody.sha256,
        orjson.dumps(custody.uploader).decode(),
        custody.begun_ms,
        custody.resumed_ms,
        custody.completed_ms,
        custody.partial,
        custody.other_server,
    )
