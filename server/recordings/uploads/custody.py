"""The custody record: what was taken, from whom and when, with the digest of every part; kept beside the recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from server.recordings.session_ids import is_session_id
from server.recordings.uploads.owners import owner_of
from server.recordings.uploads.parts import PartSchedule, custody_digest
from server.recordings.uploads.upload_ids import is_upload_id
from server.storage.recording_port import Part

_VERSION = 1


class Taken(Protocol):
    """What the state has of a recording, which nobody changes who writes to its storage."""

    @property
    def bytes(self) -> int:
        """Of the whole."""
        ...

    @property
    def custody_digest(self) -> str:
        """As of Custody."""
        ...


@dataclass(frozen=True, slots=True)
class Custody:
    """What a custody record says. Times are ms since 1970."""

    session_id: str
    upload_id: str
    parts: tuple[Part, ...]
    sha256: str
    uploader: Mapping[str, Any]
    """As `owner_members` gives it."""
    ended_by: Mapping[str, Any]
    """Who completed or aborted it, likewise, with the call's `request_id`."""
    begun_ms: int
    resumed_ms: int | None
    completed_ms: int
    partial: bool = False
    aborted: bool = False
    other_server: bool = False
    proof: str = ""
    """What CustodyProofs gives it, lower-case hex; '' before that, and in records of versions that gave none."""

    @property
    def size(self) -> int:
        """Bytes of the recording."""
        return sum(part.size for part in self.parts)

    @property
    def custody_digest(self) -> str:
        """SHA-256 over the digests of the parts, lower-case hex."""
        return custody_digest(self.parts)

    def encode(self) -> bytes:
        """The record as JSON; offsets and numbers of parts follow from their sizes."""
        return orjson.dumps(
            {
                "version": _VERSION,
                "session_id": self.session_id,
                "upload_id": self.upload_id,
                "bytes": self.size,
                "custody_digest": self.custody_digest,
                "sha256": self.sha256,
                "uploader": dict(self.uploader),
                "ended_by": dict(self.ended_by),
                "begun_ms": self.begun_ms,
                "resumed_ms": self.resumed_ms,
                "completed_ms": self.completed_ms,
                "partial": self.partial,
                "aborted": self.aborted,
                "other_server": self.other_server,
                "parts": [{"bytes": part.size, "sha256": part.sha256} for part in self.parts],
            }
            | ({"proof": self.proof} if self.proof else {}),
            option=orjson.OPT_APPEND_NEWLINE,
        )

    @classmethod
    def decode(cls, data: bytes) -> Custody:
        """Read a record.

        Raises:
            ValueError: it isn't one, or its parts aren't those that its size and its custody digest are of.
        """
        try:
            return cls._read(orjson.loads(data))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("a custody record lacks something") from error

    @classmethod
    def of_taken(cls, record: bytes | None, taken: Taken, schedule: PartSchedule) -> Custody | None:
        """What a storage has as the custody record of a recording; None where it is lost or another.

        The digest is over the parts' digests alone: where each part begins and ends follows from the size, so that a
        part that is called empty, shorter or longer in the storage hides nothing.
        """
        try:
            custody = cls.decode(record) if record is not None else None
        except ValueError:
            return None
        if custody is None or custody.custody_digest != taken.custody_digest:
            return None
        return custody if [part.size for part in custody.parts] == list(schedule.sizes(taken.bytes)) else None

    @classmethod
    def _read(cls, raw: Any) -> Custody:
        custody = cls(
            raw["session_id"],
            raw["upload_id"],
            tuple(_parts(raw["parts"])),
            raw["sha256"],
            raw["uploader"],
            raw["ended_by"],
            raw["begun_ms"],
            raw["resumed_ms"],
            raw["completed_ms"],
            raw["partial"],
            raw["aborted"],
            raw["other_server"],
            raw.get("proof", ""),
        )
        owner_of(custody.uploader)
        if not (is_session_id(custody.session_id) and is_upload_id(custody.upload_id)):
            raise ValueError("a custody record has an id that is none")
        if not isinstance(custody.proof, str):
            raise TypeError("a custody record's proof is no text")
        said = raw["custody_digest"], raw["bytes"], raw["version"]
        if said != (custody.custody_digest, custody.size, _VERSION):
            raise ValueError("a custody record is damaged")
        return custody


def _parts(raw: Any) -> Iterator[Part]:
    offset = 0
    for number, part in enumerate(raw, start=1):
        size = part["bytes"]
        if not isinstance(size, int) or size < 1:
            raise ValueError("a custody record has a part without bytes")
        yield Part(number, offset, size, part["sha256"])
        offset += size
