"""Sessions as use cases and edges speak of them, and what may be asked of them. Times are ms since 1970."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from server.recordings.recording import Recording, Upload


class SessionKind(enum.Enum):
    """What a session was, told by the events that end or begin it."""

    UNKNOWN = ""
    SSH = "ssh"
    KUBERNETES = "kubernetes"
    DATABASE = "database"
    APPLICATION = "application"
    DESKTOP = "desktop"


@dataclass(frozen=True, slots=True)
class Session:
    """What its events say of a session, and its recordings and uploads. '' and None: no event tells."""

    session_id: str
    kind: SessionKind = SessionKind.UNKNOWN
    user: str = ""
    participants: tuple[str, ...] = ()
    server_id: str = ""
    target: str = ""
    started_ms: int | None = None
    ended_ms: int | None = None
    recording: Recording | None = None
    asides: tuple[Recording, ...] = ()
    uploads: tuple[Upload, ...] = ()
    """Those that are open or aborted, oldest first."""
    has_more: bool = False
    """Only the oldest of its asides or uploads are given."""


@dataclass(frozen=True, slots=True)
class SessionQuery:
    """Filters, all of which must hold; empty ones admit every session."""

    from_ms: int | None = None
    """Sessions that had not ended before it."""
    to_ms: int | None = None
    """Sessions that had begun before it."""
    kinds: frozenset[SessionKind] = frozenset()
    users: frozenset[str] = frozenset()
    participant: str = ""
    server_id: str = ""
    active_at_ms: int | None = None
    has_recording: bool | None = None
    has_upload: bool | None = None
    text: str = ""
    session_id: str = ""
    page_size: int = 100
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions, those that began last first."""

    sessions: tuple[Session, ...]
    next_page_token: str
    missing: tuple[str, ...] = ()
    """What the index misses or the page leaves out, in words; empty if it is complete."""
