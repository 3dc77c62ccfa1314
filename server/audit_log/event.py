"""One audit event: what is accepted, and the columns taken from its JSON.

The JSON is kept byte for byte. Only what is missing (uid, time) is inserted, as text before the closing brace.
"""

from __future__ import annotations

import itertools
import uuid
from hashlib import sha256
from typing import Any, NamedTuple, cast

import orjson

from rbac.identities import Identity, IdentityKind
from server.audit_log.strict_json import NotStrict, parse_object
from server.audit_log.timestamps import DAY_MS, format_rfc3339, parse_event_time
from server.errors import InvalidRequest, PermissionDenied, Violation

MAX_TYPE_BYTES = 256
MAX_SESSION_ID_BYTES = 256
MAX_TIME_MS = 253_402_300_799_999
MAX_UID_CHARACTERS = 128
RESERVED_PREFIX = "extaudit."
_COLUMN_KEYS = ("event", "time", "uid", "sid", "user")
_LONG_S = "\u017f"
_SPEAKER_KEYS = ("server_id", "forwarded_by")


def _case_variants(key: str) -> set[str]:
    """Every other spelling that a reader which folds case takes for `key` (Go's JSON decoder also folds the long s)."""
    letters = [{c, c.upper(), _LONG_S} if c == "s" else {c, c.upper()} for c in key]
    return {"".join(word) for word in itertools.product(*letters)} - {key}


_FORBIDDEN_KEYS = frozenset(itertools.chain.from_iterable(map(_case_variants, _COLUMN_KEYS)))
_FORBIDDEN_SPEAKER_KEYS = frozenset(itertools.chain.from_iterable(map(_case_variants, _SPEAKER_KEYS)))


class Event(NamedTuple):
    """A validated event. `data` is the JSON to store."""

    time_ms: int
    type: str
    uid: str
    session_id: str
    user: str
    data: bytes
    uid_assigned: bool = False


def digest_of(data: bytes) -> str:
    """The digest that orders and identifies JSON: SHA-256 of the stored bytes, lower-case hex."""
    return sha256(data).hexdigest()


def parse_event(raw: bytes, emitter: Identity, *, now_ms: int, max_bytes: int) -> Event:
    """Validate one event as received, by the exact rules; `columns.scanner` settles the usual ones in their sense.

    Args:
        raw: the JSON.
        emitter: whose event it is; a component may speak only for its own server id.
        now_ms: the clock; times more than 24 h ahead of it are refused, and a missing time becomes it.
        max_bytes: the largest event accepted.

    Raises:
        InvalidRequest: with one violation for every wrong field.
        PermissionDenied: the event speaks for another component.
    """
    if len(raw) > max_bytes:
        raise InvalidRequest([Violation("json", f"must be at most {max_bytes} bytes")])
    try:
        members = parse_object(raw)
    except NotStrict as error:
        raise InvalidRequest([Violation("json", str(error))]) from None
    if emitter.kind is IdentityKind.COMPONENT:
        _check_speaker(members, emitter)
    event = _columns(members, raw, now_ms)
    if event.type.startswith(RESERVED_PREFIX) and emitter.kind is not IdentityKind.SERVICE:
        raise InvalidRequest([Violation("event", f"must not begin with {RESERVED_PREFIX!r}, as the service's own do")])
    return event


def _columns(members: dict[str, Any], raw: bytes, now_ms: int) -> Event:
    """The columns of an event; what is wrong is worked out only once something is."""
    get = members.get
    event_type: Any = get("event")
    uid, time, user, session_id = get("uid"), get("time"), get("user"), get("sid")
    inserted = b""
    uid_assigned = "uid" not in members
    if uid_assigned:
        uid = str(uuid.uuid4())
        inserted = b',"uid":"%b"' % uid.encode()
    if "time" not in members:
        time = format_rfc3339(now_ms)
        inserted += b',"time":"%b"' % time.encode()
    if type(user) is dict:
        user = user.get("user")
    if type(user) is not str:
        user = ""
    if type(session_id) is not str or _longer(session_id, MAX_SESSION_ID_BYTES):
        session_id = ""
    time_ms = _time_ms(time)
    if (
        not _FORBIDDEN_KEYS.isdisjoint(members)
        or not _is_type(event_type)
        or not _is_uid(uid)
        or time_ms is None
        or not 0 <= time_ms <= now_ms + DAY_MS
        or "\0" in event_type
        or "\0" in user
        or "\0" in session_id
    ):
        _refuse_wrong(members, event_type, uid, time_ms, user, session_id, now_ms)
    data = _insert(raw, inserted) if inserted else raw
    # What isn't right was refused.
    return Event(cast(int, time_ms), event_type, cast(str, uid), session_id, user, data, uid_assigned)


def _refuse_wrong(
    members: dict[str, Any],
    event_type: object,
    uid: object,
    time_ms: int | None,
    user: str,
    session_id: str,
    now_ms: int,
) -> None:
    """Raise InvalidRequest with everything that is wrong; return if nothing is, after all."""
    violations: list[Violation] = []
    for key in sorted(_FORBIDDEN_KEYS.intersection(members))[:1]:
        meant = key.lower().replace(_LONG_S, "s")
        violations.append(Violation("json", f"has a key that differs only in case from {meant!r}"))
    if not _is_type(event_type):
        violations.append(Violation("event", f"must be a string of 1 to {MAX_TYPE_BYTES} bytes"))
    if not _is_uid(uid):
        violations.append(Violation("uid", "must be 1 to 128 characters of ASCII 0x21-0x7E"))
    if time_ms is None:
        violations.append(Violation("time", "must be an RFC 3339 time"))
    elif time_ms < 0:
        violations.append(Violation("time", "must not be before 1970"))
    elif time_ms > now_ms + DAY_MS:
        violations.append(Violation("time", "must not be more than 24 hours ahead"))
    for name, value in (("event", event_type), ("user", user), ("sid", session_id)):
        if isinstance(value, str) and "\0" in value:
            violations.append(Violation(name, "must not hold a NUL character"))
    if violations:
        raise InvalidRequest(violations)


def _is_type(value: object) -> bool:
    return type(value) is str and value != "" and not _longer(value, MAX_TYPE_BYTES)


def _is_uid(value: object) -> bool:
    # Of ASCII, exactly 0x20-0x7E is printable.
    return (
        type(value) is str
        and 0 < len(value) <= MAX_UID_CHARACTERS
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _time_ms(value: object) -> int | None:
    try:
        return parse_event_time(value) if type(value) is str else None
    except ValueError:
        return None


def stored_event(data: bytes) -> Event:
    """An event that was validated before, from its stored JSON."""
    return _columns(orjson.loads(data), data, MAX_TIME_MS)


def _longer(text: str, most: int) -> bool:
    """Whether `text` takes more than `most` bytes; a character takes at most four."""
    return len(text) * 4 > most and len(text.encode()) > most


def _insert(raw: bytes, inserted: bytes) -> bytes:
    """`raw` with members inserted before its closing brace. It holds at least the member `event`."""
    brace = raw.rindex(b"}")
    return raw[:brace] + inserted + raw[brace:]


def _check_speaker(members: dict[str, Any], emitter: Identity) -> None:
    """A component speaks for its own server id, or, as a Proxy, for one it forwards (Teleport's own rule)."""
    if not _FORBIDDEN_SPEAKER_KEYS.isdisjoint(members):
        raise PermissionDenied("the event must not speak for another component", kind="event", verb="create")
    server_id, forwarded_by = members.get("server_id", ""), members.get("forwarded_by", "")
    if server_id == "" and forwarded_by == "":
        return
    own = forwarded_by == "" and server_id == emitter.name
    forwarded = "Proxy" in emitter.roles and forwarded_by == emitter.name and isinstance(server_id, str)
    if not own and not forwarded:
        raise PermissionDenied("the event must not speak for another component", kind="event", verb="create")
