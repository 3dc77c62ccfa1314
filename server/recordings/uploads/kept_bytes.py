"""Reading what is kept of an ended upload once more, for what only its bytes tell."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from server.errors import DataLoss
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.parts import PartSchedule
from server.state.uploads import ASIDE, RecordingRow
from server.storage.ports import ObjectArchived
from server.storage.recording_port import Part, RecordingMissing, RecordingStorage, UploadPlace

_PIECE = 1024 * 1024


def is_intact(storage: RecordingStorage, place: UploadPlace, parts: Sequence[Part]) -> bool:
    """Whether a recording is there to be read, and what was taken. Raises StorageError where it can't be told now."""
    try:
        return all(_digest(_pieces(storage, place, part, aside=False)) == part.sha256 for part in parts)
    except (RecordingMissing, ObjectArchived):
        return False


def read_sha256(storage: RecordingStorage, kept: RecordingRow, schedule: PartSchedule) -> str:
    """SHA-256 of a recording whole, lower-case hex, each part compared on the way.

    Raises:
        DataLoss: it isn't what was taken. StorageError: it can't be read now.
    """
    place, is_aside = UploadPlace(kept.session_id, kept.key, kept.handle), kept.kind == ASIDE
    custody, whole = Custody.of_taken(storage.custody(place, aside=is_aside), kept, schedule), hashlib.sha256()
    if custody is None:
        raise DataLoss("the recording's custody record is lost or damaged")
    for part in custody.parts:
        digest = hashlib.sha256()
        for piece in _pieces(storage, place, part, aside=is_aside):
            digest.update(piece)
            whole.update(piece)
        if digest.hexdigest() != part.sha256:
            raise DataLoss("what is kept of the recording isn't what was taken")
    return whole.hexdigest()


def _pieces(storage: RecordingStorage, place: UploadPlace, part: Part, *, aside: bool) -> Iterator[bytes]:
    end = part.offset + part.size
    for offset in range(part.offset, end, _PIECE):
        yield storage.read(place, offset, min(_PIECE, end - offset), aside=aside)


def _digest(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
