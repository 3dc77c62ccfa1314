"""Custody records in a bucket: `_custody/<session id>/<key>.json`, each read at its oldest version.

What others put over one, or delete, later counts for nothing, unless the bucket keeps no versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any

import orjson

from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.aws.place import Connection
from server.storage.aws.stored_objects import Stored, listed
from server.storage.ports import StorageError
from server.storage.recording_port import NAMES_AT_ONCE, Choose, RecordName, UploadPlace

_FOLDER = "_custody/"
_STORED = "stored"
_MAY_DIFFER = frozenset({"kind", "multipart_upload_id"})
_ATTEMPTS = 3
RECORDING = "recording"
"""The kind of what is a session's recording."""
UNREADABLE = frozenset({Kind.DENIED, Kind.REFUSED})
"""What is said of an object that is archived, or encrypted by a key of somebody else."""
_MOST_BYTES = 16 * 1024 * 1024
"""What is larger isn't one of ours: others can write to the bucket, and a record is read into memory."""


class CustodyRecords:
    """Puts, finds and lists them. Safe to use from several threads; every call may block."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        """`connect` gives the way there as of now; it may raise StorageError."""
        self._connect = connect

    def put(self, place: UploadPlace, record: bytes, stored: dict[str, str]) -> bytes:
        """Put an upload's record with where it is stored, unless it is there; gives it as it is there then.

        Raises:
            StorageError: it can't be done now, or others have put something else in its place.
        """
        name, way = _name_of(place), self._connect()
        data = orjson.dumps(orjson.loads(record) | {_STORED: stored}, option=orjson.OPT_APPEND_NEWLINE)
        if not way.place.store.refuses and (kept := self.of(place)) is not None:
            return _own(kept, data)
        for _ in range(_ATTEMPTS):
            try:
                way.s3.put_object(
                    **way.place.at(name),
                    **way.place.encryption,
                    **way.place.condition,
                    **way.place.store.checksum(hashlib.sha256(data).hexdigest(), [data]),
                    Body=data,
                    ContentType="application/json",
                )
            except AwsError as error:
                if error.kind is not Kind.CONFLICT:
                    raise
                kept = self.of(place)
                if kept is not None:
                    return _own(kept, data)
                continue
            return data
        raise StorageError("S3 says again and again that others are writing the custody record")

    def of(self, place: UploadPlace) -> bytes | None:
        """An upload's record; None if there is none."""
        name = _name_of(place)
        found = next(self._oldest(name), None)
        return None if found is None or found.name != name else self._read(found)

    def all(self, choose: Choose) -> Iterator[tuple[RecordName, bytes]]:
        """Each that is chosen, in the order of their names; empty where it is none of ours.

        One that can't be read is none of ours, as others can archive theirs or encrypt it by a key of their own; unless
        no other can be read either.
        """
        refused, is_read, passed = None, False, None
        names = self._oldest(_FOLDER)
        while some := list(islice(names, NAMES_AT_ONCE)):
            chosen = choose([_named(each) for each in some])
            for found in some:
                if _named(found) not in chosen:
                    passed = passed or found
                    continue
                try:
                    record, is_read = self._read(found), True
                except AwsError as error:
                    if error.kind not in UNREADABLE:
                        raise
                    record, refused = b"", error
                yield _named(found), record
        if refused is not None and not is_read:
            if passed is None:
                raise refused
            self._read(passed)

    def _oldest(self, prefix: str) -> Iterator[Stored]:
        """The oldest version of each record whose name begins so, in the order of names; S3 lists it last."""
        for name, versions in groupby(listed(self._connect(), prefix), lambda each: each.name):
            *_, oldest = versions
            if name.endswith(".json"):
                yield oldest

    def _read(self, found: Stored) -> bytes:
        way = self._connect()
        answer = way.s3.get_object(**found.of(way))
        with translated("s3:GetObject"):
            data = bytes(answer["Body"].read(_MOST_BYTES + 1))
        return data if len(data) <= _MOST_BYTES else b""


def stored_in(record: bytes) -> dict[str, Any]:
    """What `put` has added to a record; nothing where it isn't one."""
    try:
        return dict(orjson.loads(record)[_STORED])
    except (ValueError, LookupError, TypeError):
        return {}


def _own(kept: bytes, data: bytes) -> bytes:
    """The record that is there, if it is the one that was to be put: others may have known its name.

    Its kind may be another: what this storage had completed is kept aside where another had been faster to be told of.
    """
    if _said(kept) != _said(data) or _kind(kept) not in (_kind(data), RECORDING):
        raise StorageError("others have put something else where the recording's custody record is to be")
    return kept


def _said(record: bytes) -> object:
    """What a record says, but for its kind, and the multipart upload: what was aborted may have been sent again."""
    try:
        said = dict(orjson.loads(record))
        return said | {_STORED: {name: each for name, each in said[_STORED].items() if name not in _MAY_DIFFER}}
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _kind(record: bytes) -> object:
    return stored_in(record).get("kind")


def _named(found: Stored) -> RecordName:
    session_id, _, rest = found.name.removeprefix(_FOLDER).partition("/")
    return session_id, rest.removesuffix(".json")


def _name_of(place: UploadPlace) -> str:
    return f"{_FOLDER}{place.session_id}/{place.key}.json"
