"""The events that tell of sessions, and what each of them says."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from server.audit_log.receipts import Emitter
from server.audit_log.timestamps import parse_event_time
from server.recordings.sessions.session import SessionKind
from server.state.session_claims import NOBODY, Claim, Said, Speaker, bounded, first_names, identity_digest
from server.storage.matching import document_of


class _Moment(enum.IntEnum):
    """What of a session an event tells; the smaller, the better it knows the session."""

    END = 0
    START = 1
    MEANWHILE = 2
    ONE_PERSON = 3
    """Somebody joins or leaves: its user and kind aren't the session's."""


@dataclass(frozen=True, slots=True)
class _Type:
    """What events of one type tell."""

    moment: _Moment
    kind: SessionKind
    server: tuple[str, ...] = ("server_id",)
    """Keys of the server's id, the best first."""
    target: tuple[str, ...] = ()
    """Keys of the name of what the session was on, the best first."""


_SHELL: Final = ("server_hostname", "server_addr")
_DATABASE: Final = ("db_service", "db_name")
_APPLICATION: Final = ("app_name", "public_addr", "app_public_addr")
_DESKTOP: Final = ("desktop_name", "desktop_addr")
_DESKTOP_SERVERS: Final = ("windows_desktop_service", "server_id")
_POD: Final = ("kubernetes_pod_name", "kubernetes_cluster")

_TYPES: Final[Mapping[str, _Type]] = MappingProxyType(
    {
        "session.start": _Type(_Moment.START, SessionKind.SSH, target=_SHELL),
        "session.end": _Type(_Moment.END, SessionKind.SSH, target=_SHELL),
        "session.join": _Type(_Moment.ONE_PERSON, SessionKind.SSH, target=_SHELL),
        "session.leave": _Type(_Moment.ONE_PERSON, SessionKind.SSH, target=_SHELL),
        "windows.desktop.session.start": _Type(_Moment.START, SessionKind.DESKTOP, _DESKTOP_SERVERS, _DESKTOP),
        "windows.desktop.session.end": _Type(_Moment.END, SessionKind.DESKTOP, _DESKTOP_SERVERS, _DESKTOP),
        "db.session.start": _Type(_Moment.START, SessionKind.DATABASE, target=_DATABASE),
        "db.session.end": _Type(_Moment.END, SessionKind.DATABASE, target=_DATABASE),
        "app.session.start": _Type(_Moment.START, SessionKind.APPLICATION, target=_APPLICATION),
        "app.session.end": _Type(_Moment.END, SessionKind.APPLICATION, target=_APPLICATION),
        "app.session.chunk": _Type(_Moment.MEANWHILE, SessionKind.APPLICATION, target=_APPLICATION),
    }
)

SESSION_TYPES: Final = frozenset(_TYPES)
"""The types of all events that the index follows."""
END_TYPES: Final = frozenset(name for name, told in _TYPES.items() if told.moment is _Moment.END)
"""The types of events that end a session; conditions on sessions are decided from these."""


class SessionEvent(NamedTuple):
    """One event of a session, from the log, or, with no log_id, from a foreign object."""

    log_id: str
    sequence: int
    emitter: Emitter | None
    """None of a foreign event: nobody knows."""
    type: str
    time_ms: int
    session_id: str
    user: str
    data: bytes


def speaker_of(emitter: Emitter | None) -> Speaker:
    """Who emitted it, as far as it decides how much it counts."""
    if emitter is None:
        return NOBODY
    is_component = emitter.kind == "component"
    digest = identity_digest(emitter.trust_anchor, emitter.kind, emitter.name)
    return Speaker(digest, is_component, vouches=is_component and bool(emitter.roles))


def claim_of(event: SessionEvent) -> Claim:
    """What one event says; wrong values of its JSON say nothing. Its type is one of SESSION_TYPES."""
    told, members = _TYPES[event.type], document_of(event.data)
    if not isinstance(members, dict):
        members = {}
    moment, time_ms = told.moment, event.time_ms

    def said(text: str) -> Said | None:
        return (int(moment), time_ms, bounded(text)) if text else None

    is_pod = told.kind is SessionKind.SSH and _text(members, "kubernetes_cluster") != ""
    kind = SessionKind.KUBERNETES if is_pod else told.kind
    server_id = _first(members, told.server if _may_name(members, event.emitter) else ("server_id",))
    tells_server = moment in (_Moment.START, _Moment.END) and server_id
    return Claim(
        time_ms,
        # Events of joining and leaving don't always name the Kubernetes cluster.
        said(kind.value) if moment is not _Moment.ONE_PERSON or is_pod else None,
        said(event.user) if moment is not _Moment.ONE_PERSON else None,
        said(server_id),
        said(_first(members, (*_POD, *told.target) if is_pod else told.target)),
        _start(moment, members, time_ms),
        _end(moment, members, time_ms),
        _participants(moment, members, event.user),
        frozenset({bounded(server_id)}) if tells_server else frozenset(),
    )


def _may_name(members: Mapping[str, Any], emitter: Emitter | None) -> bool:
    """Whether its word on the desktop service counts. Others than itself a Proxy or Auth component may name, as it does
    with `server_id`, which is looked at where events come in."""
    if emitter is None or emitter.kind != "component" or emitter.roles:
        return True
    return members.get("windows_desktop_service") in (None, "", emitter.name)


def _participants(moment: _Moment, members: Mapping[str, Any], user: str) -> frozenset[str]:
    if moment is not _Moment.END:
        return frozenset({bounded(user)}) if user else frozenset()
    named = members.get("participants")
    # Conditions take a text for a list of one as well.
    names = [user, *(named if isinstance(named, list) else [named])]
    return first_names(frozenset(bounded(name) for name in names if isinstance(name, str) and name))


def _start(moment: _Moment, members: Mapping[str, Any], time_ms: int) -> tuple[int, int] | None:
    """The start by the event of the start itself, else by what an end says of it."""
    if moment is _Moment.START:
        return 0, time_ms
    started = _time(members, "session_start") if moment is _Moment.END else None
    return None if started is None else (1, started)


def _end(moment: _Moment, members: Mapping[str, Any], time_ms: int) -> int | None:
    if moment is not _Moment.END:
        return None
    stopped = _time(members, "session_stop")
    return time_ms if stopped is None else stopped


def _text(members: Mapping[str, Any], key: str) -> str:
    value = members.get(key)
    return value if isinstance(value, str) else ""


def _first(members: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    for key in keys:
        value = members.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def _time(members: Mapping[str, Any], key: str) -> int | None:
    """A time in ms since 1970, or None; Go writes a time that isn't set as one of the year 1."""
    try:
        time_ms = parse_event_time(_text(members, key))
    except ValueError:
        return None
    return time_ms if time_ms > 0 else None
