"""Uploads and recordings, as use cases and edges speak of them. Times are ms since 1970."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from rbac.identities import Identity


class UploadState(enum.Enum):
    """What has become of an upload."""

    OPEN = "open"
    COMPLETED = "completed"
    KEPT_ASIDE = "kept_aside"
    """Complete, but another upload was the session's recording already: kept under its upload id."""
    ABORTED = "aborted"
    REPEATED = "repeated"
    """Complete, and byte for byte what the session's recording was already; nothing of it is kept twice."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload, from its first byte to what became of it."""

    upload_id: str
    session_id: str
    state: UploadState
    durable_offset: int
    """Bytes from the beginning that are durable."""
    storage: str
    owner: Identity
    begun_ms: int
    resumed_ms: int | None = None
    ended_ms: int | None = None
    abandoned: bool = False
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is complete in a storage."""

    session_id: str
    upload_id: str
    storage: str
    bytes: int
    parts: int
    custody_digest: str
    """SHA-256 over the SHA-256 digests of its parts, lower-case hex."""
    sha256: str
    """SHA-256 of the whole, lower-case hex; '' where it wasn't asked for and there are several parts."""
    uploader: Identity
    begun_ms: int
    completed_ms: int
    resumed_ms: int | None = None
    partial: bool = False
    aside: bool = False
    other_server: bool = False
    """The session's start or end names another server than the uploader."""
