"""A uid for an event that has none, set before anything is sent, so that a retry is never a second event.

It is inserted as text before the closing brace, as the service would do; the rest stays byte for byte.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from extaudit_client.errors import InvalidRequest, Violation

MAX_UID_CHARACTERS = 128


def prepared(event: bytes, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> tuple[str, bytes]:
    """An event's uid, and its JSON with uid and time in it.

    Raises:
        InvalidRequest: it isn't a JSON object with a member `event`, or its uid is none. The service looks at the rest.
    """
    members = _members(event)
    inserted = b""
    if "event" not in members:
        raise _invalid("event", "must be a string of 1 to 256 bytes")
    uid = members.get("uid")
    if "uid" not in members:
        uid = str(uuid.uuid4())
        inserted = b',"uid":"%b"' % uid.encode()
    elif not _is_uid(uid):
        raise _invalid("uid", f"must be 1 to {MAX_UID_CHARACTERS} characters of ASCII 0x21-0x7E")
    if "time" not in members:
        inserted += b',"time":"%b"' % now().isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()
    return str(uid), _insert(event, inserted)


def with_uid(event: bytes) -> tuple[str, bytes]:
    """An event's uid, and its JSON with the uid in it; ('', event) for what the service will refuse anyway."""
    try:
        members = _members(event)
    except InvalidRequest:
        return "", event
    uid = members.get("uid")
    if "uid" in members or "event" not in members:
        return (uid if isinstance(uid, str) else ""), event
    uid = str(uuid.uuid4())
    return uid, _insert(event, b',"uid":"%b"' % uid.encode())


def _insert(event: bytes, inserted: bytes) -> bytes:
    brace = event.rindex(b"}")
    return event[:brace] + inserted + event[brace:]


def _members(event: bytes) -> dict[str, Any]:
    try:
        # Bytes would be taken for UTF-16 or UTF-32 where they look like it. What a number is doesn't matter here.
        members = json.loads(event.decode("utf-8"), parse_constant=_refuse, parse_float=len, parse_int=len)
    except (ValueError, RecursionError):
        raise _invalid("json", "must be valid JSON in UTF-8") from None
    if not isinstance(members, dict):
        raise _invalid("json", "must be an object")
    return members


def _refuse(name: str) -> None:
    raise ValueError(name)


def _is_uid(value: object) -> bool:
    # Of ASCII, exactly 0x20-0x7E is printable.
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_UID_CHARACTERS
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest("INVALID_ARGUMENT", "INVALID_REQUEST", "the event is wrong", (Violation(field, description),))
