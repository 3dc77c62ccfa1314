"""Whether recordings are what was taken: existence and sizes by listing, then custody record and digests one by one."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from heapq import nlargest
from typing import Final, Protocol

from server.audit_log.retention import Kept
from server.audit_log.scrub.known_damage import Fault, KnownDamage
from server.observability.alerts.alerts import Alerts
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.parts import SCHEDULE, PartSchedule
from server.state.storage_damage import CHANGED, MISSING, RECORDINGS, UNLISTED, UNREADABLE, Damage
from server.state.uploads import ABORTED, ASIDE, RECORDING, RecordingRow, UploadRow
from server.storage.ports import StorageError
from server.storage.recording_port import Part, RecordingMissing, RecordingStorage, StoredRecording, UploadPlace

_CHUNK: Final = 1024 * 1024
_MOST_TRIED: Final = 3
"""Recordings that are read to see whether any can be: one may be gone."""
MOST_OF_OTHERS: Final = 10_000
"""Findings from which on nothing new of others becomes one."""
_GONE: Final = MISSING, "the recording isn't there"
_DELETED: Final = MISSING, "it was deleted; the version that was stored is there yet, and is what is read"
_OTHER_BYTES: Final = CHANGED, "its bytes aren't those that were taken"
_NO_RECORD: Final = CHANGED, "its custody record is lost, or isn't the one that was made"
_UNKNOWN: Final = UNLISTED, "the service knows of no such recording"
_PUT_OVER: Final = (
    UNLISTED,
    "there is more under its name than the session's recordings: others have put something there",
)
_ALERTS: Final = {MISSING: "recording-missing", CHANGED: "recording-changed"}


class Rows(Protocol):
    """What the state says of uploads. Every method raises StateFault when it can't be done now."""

    def ended_in(self, storage: str) -> list[RecordingRow]:
        """What is kept in a storage of uploads that have ended."""
        ...

    def open(self) -> list[UploadRow]:
        """Uploads that are open."""
        ...


class RecordingVerification:
    """Looks at the recordings of one storage; a Subject of the scrub."""

    def __init__(
        self,
        storage: Callable[[], RecordingStorage],
        kept: Callable[[], Kept],
        rows: Rows,
        known: KnownDamage,
        alerts: Alerts | None,
        schedule: PartSchedule = SCHEDULE,
    ) -> None:
        """`storage` gives the one that is looked at, `kept` what its retention is now; both may raise StorageError.
        None raises no alerts."""
        self._schedule = schedule
        self._storage = storage
        self._kept = kept
        self._rows = rows
        self._known = known
        self._alerts = alerts
        self._rows_by_name: Mapping[str, RecordingRow] = {}
        self._archived: Sequence[str] = ()
        self._hidden: Set[str] = frozenset()
        """What was deleted where its version is there yet: only the next look tells whether it is so still."""

    @property
    def damage(self) -> Mapping[str, Damage]:
        """What is wrong now, by name; may be read by any thread."""
        return self._known.found

    def begin(self) -> None:
        """Take up what was found before a stop."""
        self._known.begin()

    def look(self) -> list[str]:
        """Look at existence and sizes, and for what nobody knows; gives the names of all that can be checked, sorted.

        Raises:
            StorageError: the storage can't be listed now.
            StateFault: the state can't be read, or a finding can't be kept now.
        """
        storage, kept = self._storage(), self._kept()
        # In this order: what is known before must be listed, and what is listed is known after, or open still.
        before = [row for row in self._rows.ended_in(storage.storage_id) if row.kind != ABORTED]
        listed = self._listed(storage, before)
        opened = {row.session_id for row in self._rows.open()}
        after = self._rows.ended_in(storage.storage_id)
        found = dict(_unknown(listed, after, opened))
        # S3 counts from when a multipart upload was begun, which is after ours was. What has expired is no finding.
        before = [row for row in before if not kept.is_past(row.begun_ms)]
        for row in before:
            if (fault := _fault(row, listed)) is not None:
                found[name_of(row)] = fault
        self._known.take(found)
        self._hidden = {name for name, fault in found.items() if fault is _DELETED}
        self._archived = sorted(name_of(row) for row in before if _is_archived(row, listed))
        self._rows_by_name = {name_of(row): row for row in before}
        for name in self._known.found.keys() - self._rows_by_name.keys():
            self._known.judge(name, None)  # it has expired, or nothing says any more what it is to be
        self._tell(storage.storage_id)
        return sorted(self._rows_by_name)

    def _listed(
        self, storage: RecordingStorage, rows: Collection[RecordingRow]
    ) -> dict[tuple[str, str], StoredRecording]:
        """What is listed of these, and others of which there are findings; of new ones as many as there may be, since
        whoever can write to a bucket can put there as many as they like."""
        wanted = {(row.session_id, key) for row in rows for key in ("", row.key)}
        found: dict[tuple[str, str], StoredRecording] = {}
        new = max(0, MOST_OF_OTHERS - len(self._known.found))
        for each in storage.stored():
            place = each.session_id, each.key
            if place not in wanted and _name(*place) not in self._known.found:
                if not new:
                    continue
                new -= 1
            found[place] = each
        return found

    def check(self, name: str, read: Callable[[int], None]) -> None:
        """Compare custody record and digests of one. `read` is told the bytes, and what it raises ends it.

        Raises:
            StateFault: a finding can't be kept now.
        """
        row = self._rows_by_name.get(name)
        if row is None:
            return
        try:
            fault = self._compared(row, read) or (_DELETED if name in self._hidden else None)
        except StorageError as error:
            if not isinstance(error.__cause__, OSError):
                return  # what is away says nothing of what it holds
            fault = UNREADABLE, str(error)
        self._known.judge(name, fault)
        self._tell(row.storage)

    def _compared(self, row: RecordingRow, read: Callable[[int], None]) -> Fault | None:
        """What custody record and digests tell: the storage's own, where it knows them, else those of what is read."""
        storage, place, is_aside = self._storage(), UploadPlace(row.session_id, row.key, row.handle), row.kind == ASIDE
        custody = Custody.of_taken(storage.custody(place, aside=is_aside), row, self._schedule)
        if custody is None:
            return _NO_RECORD
        digest = storage.checksum(place, aside=is_aside)
        if digest is None:
            return _GONE
        if digest:
            return None if digest == row.custody_digest else _OTHER_BYTES
        found = _read_parts(storage, place, custody, read, aside=is_aside)
        # Not read on behind the first that is another: what is known to be changed is looked at again every hour.
        return None if all(each == part for each, part in zip(found, custody.parts, strict=True)) else _OTHER_BYTES

    def _tell(self, storage_id: str) -> None:
        if self._alerts is None:
            return
        damage = self.damage
        for kind, alert in _ALERTS.items():
            found = sorted(name for name, each in damage.items() if each.kind == kind)
            _stand(self._alerts, storage_id, alert, found, damage[found[0]].detail if found else "")
        _stand(self._alerts, storage_id, "recording-archived", self._archived, "is archived")


def _stand(alerts: Alerts, storage_id: str, alert: str, found: Sequence[str], detail: str) -> None:
    """Have an alert stand as long as something was found; it names the first."""
    if not found:
        alerts.clear_standing(storage_id, alert)
        return
    others = f", and {len(found) - 1} others are like that" if len(found) > 1 else ""
    alerts.raise_standing(storage_id, alert, f"{found[0]}: {detail}{others}")


def name_of(row: RecordingRow) -> str:
    """What a finding calls a recording."""
    return _name(row.session_id, row.key if row.kind == ASIDE else "")


def _name(session_id: str, key: str) -> str:
    return RECORDINGS + (f"{session_id}/{key}.tar" if key else f"{session_id}.tar")


def _entry(row: RecordingRow, listed: Mapping[tuple[str, str], StoredRecording]) -> StoredRecording | None:
    """What is listed of a recording: under the session's name, as a later version too, or under its upload's."""
    named, apart = listed.get((row.session_id, "")), listed.get((row.session_id, row.key))
    is_named = named is not None and row.bytes in named.sizes
    if row.kind == ASIDE:
        return apart or (named if is_named else None)
    # What others put under the session's name had ours completed beside it.
    return named if is_named else apart or named


def _is_apart(row: RecordingRow, listed: Mapping[tuple[str, str], StoredRecording]) -> bool:
    """Whether it has a name of its own, and not the session's."""
    entry = _entry(row, listed)
    return entry is not None and bool(entry.key)


def _is_archived(row: RecordingRow, listed: Mapping[tuple[str, str], StoredRecording]) -> bool:
    entry = _entry(row, listed)
    return entry is not None and entry.is_archived


def _fault(row: RecordingRow, listed: Mapping[tuple[str, str], StoredRecording]) -> Fault | None:
    """What a listing tells of a recording."""
    entry = _entry(row, listed)
    if entry is None or not entry.sizes:
        return _GONE
    if row.bytes not in entry.sizes:
        return CHANGED, f"is {entry.sizes[0]} bytes and was {row.bytes} when it was taken"
    return _DELETED if entry.is_deleted else None


def _unknown(
    listed: Mapping[tuple[str, str], StoredRecording], rows: Collection[RecordingRow], opened: Set[str]
) -> Iterator[tuple[str, Fault]]:
    """What others put there. What is being ended just now is left out."""
    apart = {(row.session_id, row.key) for row in rows if row.kind == ABORTED or _is_apart(row, listed)}
    named = Counter(row.session_id for row in rows if (row.session_id, row.key) not in apart)
    recorded = {row.session_id for row in rows if row.kind == RECORDING}
    for (session_id, key), each in listed.items():
        if session_id in opened or (session_id, key) in apart or not each.sizes:
            continue
        if key:
            yield _name(session_id, key), _UNKNOWN
        elif not named[session_id] and session_id not in recorded:
            yield _name(session_id, ""), _UNKNOWN
        elif len(each.sizes) > named[session_id]:
            yield f"{RECORDINGS}{session_id}.tar (versions)", _PUT_OVER


def can_read_recordings(storage: RecordingStorage, rows: Rows) -> bool:
    """Whether of what was completed last, one or another, custody record and first byte can be read.

    Raises:
        StorageError: they can't.
    """
    kept = (row for row in rows.ended_in(storage.storage_id) if row.kind != ABORTED and row.bytes)
    for row in nlargest(_MOST_TRIED, kept, key=lambda each: each.completed_ms):
        place, is_aside = UploadPlace(row.session_id, row.key, row.handle), row.kind == ASIDE
        with suppress(RecordingMissing):
            if storage.custody(place, aside=is_aside) is not None and storage.read(place, 0, 1, aside=is_aside):
                return True
    return False


def _read_parts(
    storage: RecordingStorage, place: UploadPlace, custody: Custody, read: Callable[[int], None], *, aside: bool
) -> Iterator[Part]:
    """The parts, each with the digest of what is there of it."""
    for part in custody.parts:
        digest, end = hashlib.sha256(), part.offset + part.size
        for offset in range(part.offset, end, _CHUNK):
            piece = storage.read(place, offset, min(_CHUNK, end - offset), aside=aside)
            digest.update(piece)
            read(len(piece))
        yield replace(part, sha256=digest.hexdigest())
