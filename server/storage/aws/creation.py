"""How an object comes to be in a bucket: once, never over another one, and found there when an answer was lost."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from server.storage.aws.errors import AwsError, Kind, translated
from server.storage.aws.place import Connection
from server.storage.aws.store import base64_of
from server.storage.ports import NameTaken, StorageError

_DIGEST: Final = "sha256"
"""The name under which an object's metadata has its digest."""
_CHUNK: Final = 1024 * 1024
_ATTEMPTS: Final = 3
_TAKEN: Final = 412
_PASSED_OVER: Final = (
    "the store passes over `If-None-Match: *` and would write over what is there, so nothing is put into it; set "
    '`aws.s3_conditional_writes = "no"` and start the service again'
)
_UNREADABLE: Final = frozenset({"InvalidRequest", "InvalidObjectState", "InvalidArgument"})
"""What S3 says to whoever reads an object that has a key of somebody else's, or is archived."""


@dataclass(frozen=True, slots=True)
class NewObject:
    """What is to be created."""

    name: str
    """Below the storage's location."""
    body: bytes
    """Whole: a file would be sent in small pieces, each with a call of TLS."""
    digest: str
    """SHA-256 in lower-case hex."""
    content_type: str


def create(connect: Callable[[], Connection], new: NewObject) -> None:
    """Create an object, or find that it is there already.

    Where the store has no conditional writes it is looked for first: two that create another one at the same moment
    then overwrite each other, and nobody is told. Likewise until one that is said to have them was seen to refuse.

    Raises:
        NameTaken: other bytes have its name. They were not touched.
        StorageError: it isn't known to be there; safe to try again.
    """
    for _ in range(_ATTEMPTS):
        way = connect()
        store = way.place.store
        if store.refusal.is_passed_over:
            raise StorageError(_PASSED_OVER)
        if not store.refuses and _is_there(way, new):
            return
        try:
            _put(way, new)
        except AwsError as error:
            if error.kind is not Kind.CONFLICT:
                raise
            # 412: something has the name. 409: something may come to have it, or not.
            if _is_there(way, new):
                return
            continue
        if store.conditional_writes and not store.refusal.is_seen:
            _try_refusal(way, new)
        return
    raise StorageError("S3 says again and again that others are writing this object")


def _put(way: Connection, new: NewObject) -> None:
    checksum = way.place.store.checksum(new.digest, [new.body])
    way.s3.put_object(
        **way.place.at(new.name),
        Body=new.body,
        ContentType=new.content_type,
        **way.place.condition,
        **checksum,
        Metadata={_DIGEST: new.digest},
        **way.place.encryption,
    )


def _try_refusal(way: Connection, new: NewObject) -> None:
    """Have the store refuse the object that it has just made: one that makes it again would write over anything.

    Raises:
        StorageError: it does.
    """
    refusal = way.place.store.refusal
    try:
        _put(way, new)
    except AwsError as error:
        refusal.is_seen = error.status == _TAKEN  # else the next object tells
        return
    refusal.is_passed_over = True
    raise StorageError(_PASSED_OVER)


def _is_there(way: Connection, new: NewObject) -> bool:
    """Whether it is there; False where nothing is.

    Raises:
        NameTaken: other bytes are, or what nobody here can read and isn't ours.
    """
    try:
        found = head(way, new.name)
    except AwsError as error:
        if error.kind not in (Kind.DENIED, Kind.REFUSED):
            raise
        return _is_hidden(way, new, error)
    if found is None:
        return False
    if found["ContentLength"] != len(new.body):
        raise NameTaken(new.name)
    # A checksum of parts is not one of the whole, and metadata say what whoever wrote the object likes.
    known = found.get("ChecksumSHA256", "")
    if "-" in known or not known:
        return _has(way, new)
    if known != base64_of(new.digest):
        raise NameTaken(new.name)
    return True


def _is_hidden(way: Connection, new: NewObject, refused: AwsError) -> bool:
    """The same of what can't be looked at so: others may have encrypted it by a key of theirs. Ours has its digest in
    its metadata, which are seen without the key."""
    try:
        found = way.s3.head_object(**way.place.at(new.name))
    except AwsError as error:
        if error.kind is Kind.MISSING:
            return False
    else:
        if (found["ContentLength"], found.get("Metadata", {}).get(_DIGEST)) != (len(new.body), new.digest):
            raise NameTaken(new.name)
        raise refused
    # The answer to a HEAD has no code: that it is the object, and not the role, is told by a GET.
    try:
        return _has(way, new)
    except AwsError as error:
        if error.code in _UNREADABLE:
            raise NameTaken(new.name) from None
        raise


def _has(way: Connection, new: NewObject) -> bool:
    """The same, by reading it."""
    try:
        answer = way.s3.get_object(**way.place.at(new.name))
    except AwsError as error:
        if error.kind is Kind.MISSING:
            return False
        if error.code in _UNREADABLE:
            raise NameTaken(new.name) from None
        raise
    read, left = hashlib.sha256(), len(new.body)
    with translated("s3:GetObject"):
        for piece in answer["Body"].iter_chunks(_CHUNK):
            left -= len(piece)
            if left < 0:
                break
            read.update(piece)
    if left or read.hexdigest() != new.digest:
        raise NameTaken(new.name)
    return True


def head(way: Connection, name: str) -> Any:
    """What S3 says of an object, its checksum as well; None if there is none."""
    try:
        return way.s3.head_object(**way.place.at(name), ChecksumMode="ENABLED")
    except AwsError as error:
        if error.kind is Kind.MISSING:
            return None
        raise
