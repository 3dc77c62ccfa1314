"""Recordings: whether they are there with the bytes that were taken, what nobody took, and uploads left open."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Final

from server.doctor.data_at_hand import DataAtHand, unreadable_state
from server.doctor.findings import Fact, Fault, Finding, Severity, Told
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.parts import SCHEDULE
from server.regular_files import in_place_of
from server.state.database import StateFault
from server.state.uploads import ASIDE, RecordingRow, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import RecordingMissing, UploadPlace

_CHUNK: Final = 1024 * 1024
_RESTORE = (
    "Put the file back from a copy; its digests are in the custody record beside it, and the custody digest in the "
    "audit event session.upload. Look for who could write to the storage."
)

MISSING: Final = Fault("recording_missing", Severity.ERROR, "The recording of a session isn't there.", _RESTORE)
CHANGED: Final = Fault(
    "recording_changed", Severity.ERROR, "A recording doesn't have the bytes that were taken.", _RESTORE
)
CUSTODY: Final = Fault(
    "custody_record_damaged",
    Severity.ERROR,
    "The custody record of a recording isn't there, or isn't the one that was made.",
    _RESTORE,
)
UNREADABLE: Final = Fault(
    "recording_unreadable",
    Severity.ERROR,
    "A recording can't be read, so that nothing is known of what it holds.",
    "Look at the file's owner and mode, and at the disk.",
)
UNLISTED: Final = Fault(
    "recording_unlisted",
    Severity.WARNING,
    "A file is named like a session's recording, and the service doesn't know of one.",
    "Restart the server: it takes up recordings that have their custody record, of a bucket those with its own proof. "
    "If this one stays, put identity/upload-id.key back if it was lost; else find out who put the file there and move "
    "it away: it keeps the session's own from its name.",
)
ABANDONED: Final = Fault(
    "upload_abandoned",
    Severity.WARNING,
    "An upload is open, and nobody has gone on with it for recordings.abandoned_after_seconds.",
    "Have its component go on with it, or end it: `extaudit recordings complete --partial` keeps what has come.",
)

FAULTS: Final = (MISSING, CHANGED, CUSTODY, UNREADABLE, UNLISTED, ABANDONED)


def check(at: DataAtHand) -> Told:
    """Look at every recording's file and custody record, and with `deep` at every byte."""
    listed = at.files.list(at.directory.storage / "recordings")
    try:
        # In this order: what was on its way at the listing is open still, or complete by now.
        uploads = at.state.uploads()
        opened = uploads.open()
        everywhere = uploads.completed()
        left = uploads.untouched(at.now_ms - int(at.config.recordings.abandoned_after_seconds * 1000))
    except StateFault as fault:
        raise unreadable_state() from fault
    completed = [row for row in everywhere if row.storage == at.recordings.storage_id]
    for row in completed:
        try:
            yield from _recording(at, row)
        except StorageError as error:
            yield UNREADABLE.of(f"session {row.session_id}", in_place_of(_path(at, row, "tar")) or str(error))
    yield from _unlisted(listed, {row.session_id for row in completed if row.kind != ASIDE}, opened)
    for upload in left:
        yield ABANDONED.of(f"session {upload.session_id}", f"upload {upload.upload_id}, {upload.bytes} bytes")
    yield Fact("recordings", len(completed))
    yield Fact("bytes", sum(row.bytes for row in completed))
    if len(everywhere) > len(completed):
        yield Fact("recordings in other storages, which the scrub looks at", len(everywhere) - len(completed))
    yield Fact("digests checked", len(completed) if at.deep else 0)
    yield Fact("open uploads", len(opened))


def _unlisted(listed: Iterable[str], completed: Set[str], opened: Iterable[UploadRow]) -> Iterator[Finding]:
    known = completed | {upload.session_id for upload in opened}
    for name in listed:
        session_id, _, kind = name.partition(".")
        if kind in ("tar", "custody.json") and session_id not in known:
            yield UNLISTED.of(f"storage/recordings/{name}")


def _recording(at: DataAtHand, row: RecordingRow) -> Iterator[Finding]:
    place, is_aside = UploadPlace(row.session_id, row.key, row.handle), row.kind == ASIDE
    subject = f"session {row.session_id}" + (f", kept aside of upload {row.upload_id}" if is_aside else "")
    try:
        custody = Custody.of_taken(at.recordings.custody(place, aside=is_aside), row, SCHEDULE)
    except StorageError:
        custody = None
    if custody is None:
        instead = "" if is_aside else in_place_of(_path(at, row, "custody.json"))
        digest = f"custody digest {row.custody_digest}"
        yield CUSTODY.of(subject, "; ".join(filter(None, (instead, digest))))
    try:
        if not at.recordings.read(place, max(0, row.bytes - 1), 2, aside=is_aside) and row.bytes:
            yield CHANGED.of(subject, f"is shorter than {row.bytes} bytes")
            return
    except RecordingMissing as error:
        yield MISSING.of(subject, str(error))
        return
    if len(at.recordings.read(place, row.bytes, 1, aside=is_aside)):
        yield CHANGED.of(subject, f"is longer than {row.bytes} bytes")
    elif at.deep and custody is not None:
        yield from _parts(at, place, custody, subject, is_aside=is_aside)


def _path(at: DataAtHand, row: RecordingRow, kind: str) -> Path:
    return at.directory.storage / "recordings" / f"{row.session_id}.{kind}"


def _parts(at: DataAtHand, place: UploadPlace, custody: Custody, subject: str, *, is_aside: bool) -> Iterator[Finding]:
    for part in custody.parts:
        digest, offset, end = hashlib.sha256(), part.offset, part.offset + part.size
        while offset < end and (chunk := at.recordings.read(place, offset, min(_CHUNK, end - offset), aside=is_aside)):
            digest.update(chunk)
            offset += len(chunk)
            at.read(len(chunk))
        if digest.hexdigest() != part.sha256:
            yield CHANGED.of(subject, f"part {part.number}, at byte {part.offset}, has other bytes")
            return
