"""One audit event: what is accepted, and the columns taken from its JSON.

The JSON is kept byte for byte. Only what is missing (uid, time) is inserted, as text before the closing brace.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import uuid
from typing import Any, NamedTuple

from rbac.identities import SERVICE, Identity, IdentityKind
from server.audit_log.strict_json import NotStrict, parse_object
from server.audit_log.timestamps import DAY_MS, format_rfc3339, parse_event_time
from server.errors import InvalidRequest, PermissionDenied, Violation

MAX_TYPE_BYTES = 256
MAX_SESSION_ID_BYTES = 256
MAX_TIME_MS = 253_402_300_799_999
_UID = re.compile(r"[\x21-\x7e]{1,128}", re.ASCII)
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
    fingerprint: bytes
    """16 bytes of SHA-256 over the emitter's key and the bytes as received: equal for a retry and nothing else."""
    uid_assigned: bool


def digest_of(data: bytes) -> str:
    """The digest that orders and identifies JSON: SHA-256 of the stored bytes, lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def parse_event(raw: bytes, emitter: Identity, emitter_key: bytes, *, now_ms: int, max_bytes: int) -> Event:
    """Validate one event as received.

    Args:
        raw: the JSON.
        emitter: whose event it is; a component may speak only for its own server id.
        emitter_key: bytes that are equal for the same identity and no other.
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
    return _columns(members, raw, emitter_key, now_ms)


def _columns(members: dict[str, Any], raw: bytes, emitter_key: bytes, now_ms: int) -> Event:
    violations: list[Violation] = []
    if not _FORBIDDEN_KEYS.isdisjoint(members):
        key = sorted(_FORBIDDEN_KEYS.intersection(members))[0]
        violations.append(
            Violation("json", f"has a key that differs only in case from {key.lower().replace(_LONG_S, 's')!r}")
        )
    event_type = members.get("event")
    if type(event_type) is not str or not event_type or _longer(event_type, MAX_TYPE_BYTES):
        violations.append(Violation("event", f"must be a string of 1 to {MAX_TYPE_BYTES} bytes"))
        event_type = ""
    uid, inserted = members.get("uid"), b""
    uid_assigned = uid is None and "uid" not in members
    if uid_assigned:
        uid = str(uuid.uuid4())
        inserted = b',"uid":"%b"' % uid.encode()
    elif type(uid) is not str or not _UID.fullmatch(uid):
        violations.append(Violation("uid", "must be 1 to 128 characters of ASCII 0x21-0x7E"))
        uid = ""
    time_ms = now_ms
    if "time" in members:
        time_ms = _time(members["time"], now_ms, violations)
    else:
        inserted += b',"time":"%b"' % format_rfc3339(now_ms).encode()
    user = members.get("user", "")
    if type(user) is dict:
        user = user.get("user")
    if type(user) is not str:
        user = ""
    session_id = members.get("sid")
    if type(session_id) is not str or _longer(session_id, MAX_SESSION_ID_BYTES):
        session_id = ""
    if b"\\u0000" in raw:  # the only way JSON can write one
        columns = (("event", event_type), ("user", user), ("sid", session_id))
        violations += [Violation(name, "must not hold a NUL character") for name, value in columns if "\0" in value]
    if violations:
        raise InvalidRequest(violations)
    fingerprint = hashlib.sha256(emitter_key + raw).digest()[:16]
    return Event(time_ms, event_type, str(uid), session_id, user, _insert(raw, inserted), fingerprint, uid_assigned)


def stored_event(data: bytes, fingerprint: bytes) -> Event:
    """An event that was validated before, from its stored JSON."""
    event = parse_event(data, SERVICE, b"", now_ms=MAX_TIME_MS, max_bytes=len(data))
    return event._replace(fingerprint=fingerprint)


def _longer(text: str, most: int) -> bool:
    """Whether `text` takes more than `most` bytes; a character takes at most four."""
    return len(text) * 4 > most and len(text.encode()) > most


def _time(value: object, now_ms: int, violations: list[Violation]) -> int:
    try:
        time_ms = parse_event_time(value) if isinstance(value, str) else None
    except ValueError:
        time_ms = None
    if time_ms is None:
        violations.append(Violation("time", "must be an RFC 3339 time"))
    elif time_ms < 0:
        violations.append(Violation("time", "must not be before 1970"))
    elif time_ms > now_ms + DAY_MS:
        violations.append(Violation("time", "must not be more than 24 hours ahead"))
    else:
        return time_ms
    return 0


def _insert(raw: bytes, inserted: bytes) -> bytes:
    """`raw` with members inserted before its closing brace. It holds at least the member `event`."""
    if not inserted:
        return raw
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
