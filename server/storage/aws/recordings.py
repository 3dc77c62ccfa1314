"""Recordings in a bucket: `<session id>.tar`, whose oldest version is the session's recording if it is of the service.

An upload is in the local spool until it is complete, and goes to S3 in parts meanwhile. What is no session's recording
is a later version, or where it was aborted a multipart upload that stays open. Each upload that has ended has a custody
record, `_custody/<session id>/<key>.json`, which names its version. Nothing is ever overwritten or deleted.

An upload becomes the recording only where nothing has its name: under a condition if the store knows any, else after a
look alone. Where the bucket adds no versions (any more), what can't be a later one is `_asides/<session id>/<key>.tar`,
and gets there likewise. What others put under its name keeps nothing from being the recording: it goes beside that.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

from server.storage.aws.custody_records import RECORDING, UNREADABLE, CustodyRecords, stored_in
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.multipart import Held, Sending, is_gone
from server.storage.aws.place import Connection
from server.storage.aws.stored_objects import UNVERSIONED, Stored, aside_name, recording_name
from server.storage.aws.stored_recordings import StoredRecordings
from server.storage.ports import StorageError
from server.storage.recording_port import (
    Choose,
    FoundUpload,
    NotReadable,
    Part,
    PartWriter,
    RecordingMissing,
    RecordName,
    StoredRecording,
    UploadPlace,
    UploadSpool,
    choose_all,
)

_ASIDE, _ABORTED = "aside", "aborted"
_log = logging.getLogger(__name__)
_ATTEMPTS = 3
_MOST_KNOWN = 1_024
_KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


class S3Recordings:
    """RecordingStorage in a bucket. Safe to use from several threads, each upload as its writer says."""

    def __init__(
        self, storage_id: str, spool: UploadSpool, connect: Callable[[], Connection], threads: Executor
    ) -> None:
        """`connect` gives the way there as of now; it may raise StorageError. Parts are sent on `threads`, and what has
        ended is removed from the spool."""
        self.storage_id = storage_id
        self._spool = spool
        self._connect = connect
        self._threads = threads
        self._sending = Sending(spool, connect, threads)
        self._records = CustodyRecords(connect)
        self._stored = StoredRecordings(connect)
        self._completing = threading.Lock()
        self._known: dict[tuple[str, str], Stored] = {}

    def begin(self, session_id: str, key: str, begun: bytes) -> UploadPlace:
        """In the spool alone: an upload can be begun while S3 is away."""
        return self._spool.begin(session_id, key, begun)

    def open(self, place: UploadPlace) -> PartWriter:
        """In the spool; parts are sent once they are durable there."""
        return _SendingWriter(self._spool.open(place), lambda parts: self._sending.ahead(place, parts))

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        """From the spool."""
        return self._spool.read_upload(place, offset, size)

    def decide(self, place: UploadPlace, custody: bytes) -> bytes:
        """In the spool."""
        return self._spool.decide(place, custody)

    def decided(self, place: UploadPlace) -> bytes | None:
        """In the spool."""
        return self._spool.decided(place)

    def forget(self, place: UploadPlace) -> None:
        """In the spool, and beside everything else: a large file takes long to remove, and nobody waits for it. What a
        stop leaves of it goes at the next start. A multipart upload that isn't complete stays open."""
        self._sending.forget(place)
        self._threads.submit(self._remove, place)

    def _remove(self, place: UploadPlace) -> None:
        try:
            self._spool.forget(place)
        except StorageError as error:
            fields = {"upload": place.key, "reason": str(error)}
            _log.error("an upload that has ended can't be removed from the spool", extra={"fields": fields})

    def uploads(self) -> Iterator[FoundUpload]:
        """Those in the spool."""
        return self._spool.uploads()

    def complete(self, place: UploadPlace) -> bytes | None:
        """Complete it if the session has no recording, and look which it is then."""
        first, own = self._stored.oldest(place), None
        if first is None:
            own = self._store(place, recording_name(place.session_id))
            first = self._stored.oldest(place)
        if first is None:
            raise StorageError("S3 doesn't list what was completed")
        if first == own or self._stored.upload_of(first) == place.key:
            return self._keep_record(place, RECORDING, first)
        try:
            return self._record_of(place, first)
        except AwsError as error:
            if error.kind not in UNREADABLE:
                raise
            return None  # what others put there holds nothing up

    def complete_beside(self, place: UploadPlace) -> bool:
        """As what is kept aside, and as the recording in its custody record: that one tells where it is."""
        self._keep_record(place, RECORDING, self._beside(place))
        return True

    def keep_aside(self, place: UploadPlace) -> None:
        """Complete it as a later version, or where there are none under a name of its own."""
        self._keep_record(place, _ASIDE, self._beside(place))

    def _beside(self, place: UploadPlace) -> Stored:
        kept = self._stored.of_upload(place, _size(self._spool.parts(place)))
        if kept is None:
            name = recording_name(place.session_id)
            if self._stored.takes_another(name):
                kept = self._store(place, name, over=True)
            else:
                kept = self._store(place, aside_name(place.session_id, place.key))
        if kept is None:
            raise StorageError("others have put an object where this one is to be kept aside")
        return kept

    def keep_aborted(self, place: UploadPlace) -> None:
        """Have S3 hold all parts in a multipart upload that stays open."""
        for _ in range(_ATTEMPTS):
            try:
                held = self._sending.store(place, self._spool.parts(place), recording_name(place.session_id))
            except AwsError as error:
                if not is_gone(error):
                    raise
                self._sending.begin_anew(place)
            else:
                self._put_record(place, held.name, {"kind": _ABORTED, "multipart_upload_id": held.handle})
                return
        raise _aborted_again()

    def _store(self, place: UploadPlace, name: str, *, over: bool = False) -> Stored | None:
        """Complete it under this name; gives what it has become, also where it was complete and the answer lost.

        None where another object has the name: nothing is put over it, but with `over` a later version.
        """
        parts = self._spool.parts(place)
        for _ in range(_ATTEMPTS):
            try:
                held = self._sending.sent(place, parts, name)
                version = self._sending.complete(place, held, {}) if over else self._complete_once(place, held)
                if version not in ("", UNVERSIONED):
                    return Stored(name, version)
            except AwsError as error:
                if not (is_gone(error) or (not over and error.kind is Kind.CONFLICT)):
                    raise
            stored = self._stored.of_upload(place, _size(parts))
            if stored is not None or (not over and self._stored.exists(Stored(name))):
                return stored
            self._sending.begin_anew(place)  # somebody has aborted it
        raise _aborted_again()

    def _complete_once(self, place: UploadPlace, held: Held) -> str:
        """Complete it where nothing has its name; gives its version, '' where it has none or may be another's. Also
        where versions are kept: nobody says how long they are."""
        into = self._connect().place
        if into.store.refuses:
            return self._sending.complete(place, held, into.condition)
        # Without one that counts nothing keeps another process from coming between, but this one does it one by one.
        with self._completing:
            there = self._stored.exists(Stored(held.name))
            return "" if there else self._sending.complete(place, held, into.condition)

    def _keep_record(self, place: UploadPlace, kind: str, stored: Stored) -> bytes:
        """Put the custody record, once what is stored was compared with the spool, which is let go of then."""
        self._stored.check(stored, self._spool.parts(place))
        version = {"version_id": stored.version} if stored.version else {}
        return self._put_record(place, stored.name, {"kind": kind} | version)

    def _put_record(self, place: UploadPlace, name: str, stored: dict[str, str]) -> bytes:
        """Put the custody record; the first one stays."""
        decided = self._spool.decided(place)
        if decided is None:
            raise ValueError("nothing is decided")
        way = self._connect()
        where = {"bucket": way.place.location.bucket, "key": way.place.at(name)["Key"]}
        return self._records.put(place, decided, where | stored)

    def _record_of(self, place: UploadPlace, stored: Stored) -> bytes | None:
        """The custody record of what is stored; None where it is of others."""
        key = self._stored.upload_of(stored)
        return self._records.of(UploadPlace(place.session_id, key)) if _KEY.fullmatch(key) else None

    def read(self, place: UploadPlace, offset: int, size: int, *, aside: bool) -> bytes:
        """Bytes of the version that the custody record names; of the oldest where there is none."""
        return self._stored.read(self._to_read(place, aside=aside), offset, size) if size > 0 else b""

    def _to_read(self, place: UploadPlace, *, aside: bool) -> Stored:
        stored = self._known.get((place.session_id, place.key))
        if stored is None:
            record = self.custody(place, aside=aside)
            told = stored_in(record) if record is not None else {}
            if told.get("kind") == _ABORTED:
                raise NotReadable("an aborted upload's bytes are in a multipart upload, which S3 lets nobody read")
            stored = self._told(place, told) if told else None
            if not aside and stored in (None, Stored(recording_name(place.session_id))):
                stored = self._stored.oldest(place)  # by the version that it may have got since
            if stored is None:
                raise RecordingMissing("the recording isn't there")
            self._remember(place, stored)
        return stored

    def _told(self, place: UploadPlace, told: dict[str, Any]) -> Stored:
        """The object that a custody record tells: of the two that an upload may become, whichever it is called. What
        was completed may be kept aside by now, where it is, or have been completed beside what others put there."""
        version, name = str(told.get("version_id") or ""), aside_name(place.session_id, place.key)
        is_apart = not version and told.get("kind") != RECORDING
        is_apart = is_apart or told.get("key") == self._connect().place.at(name)["Key"]
        return Stored(name if is_apart else recording_name(place.session_id), version)

    def _remember(self, place: UploadPlace, stored: Stored) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[place.session_id, place.key] = stored

    def stored(self) -> Iterator[StoredRecording]:
        """As S3 lists them: a request for a thousand versions."""
        return self._stored.all()

    def checksum(self, place: UploadPlace, *, aside: bool) -> str | None:
        """As S3 compared it when it took the parts; nothing is fetched."""
        try:
            return self._stored.checksum(self._to_read(place, aside=aside))
        except RecordingMissing:
            return None

    def custody(self, place: UploadPlace, *, aside: bool) -> bytes | None:
        """The custody record of an upload, or without a key of the session's recording."""
        if not place.key:
            first = self._stored.oldest(place)
            return self._record_of(place, first) if first is not None else None
        record = self._records.of(place)
        told = stored_in(record) if record is not None else {}
        if record is None or (not aside and told.get("kind") != RECORDING):
            return None
        if told.get("version_id"):  # what is read next needn't ask for it again
            self._remember(place, self._told(place, told))
        return record

    def retention_days(self) -> int:
        """As the options state."""
        return self._connect().place.retention_days

    def custody_records(self, choose: Choose = choose_all) -> Iterator[tuple[RecordName, bytes, bool]]:
        """In the order of their names."""
        for name, record in self._records.all(choose):
            yield name, record, stored_in(record).get("kind") != RECORDING


def _size(parts: Sequence[Part]) -> int:
    return sum(part.size for part in parts)


def _aborted_again() -> StorageError:
    return StorageError("others abort the multipart upload again and again")


class _SendingWriter:
    """A PartWriter of the spool that has full parts sent."""

    def __init__(self, writer: PartWriter, send: Callable[[Sequence[Part]], None]) -> None:
        self._writer = writer
        self._send = send
        self.append = writer.append
        self.close = writer.close

    @property
    def parts(self) -> Sequence[Part]:
        return self._writer.parts

    @property
    def tail(self) -> Part | None:
        return self._writer.tail

    @property
    def offset(self) -> int:
        return self._writer.offset

    def sync(self, full: Sequence[Part], tail: Part | None) -> None:
        self._writer.sync(full, tail)
        self._send(full)
