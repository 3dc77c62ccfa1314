"""What may be asked of the text in recordings, and what is found. Times are ms since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LEAST_CHARACTERS: Final = 3
"""Of a text that is looked for: the index knows of groups of three."""
MOST_CHARACTERS: Final = 256
MAX_LINE: Final = 1_024
"""Characters of a line in the index; a longer one is there in pieces that overlap."""


@dataclass(frozen=True, slots=True)
class TextQuery:
    """The text, and filters that must all hold; empty ones admit every recording."""

    text: str
    from_ms: int | None = None
    """Recordings that began at this time or later."""
    to_ms: int | None = None
    """Recordings that began before this time."""
    users: frozenset[str] = frozenset()
    page_size: int = 100
    page_token: str = ""


def have_expired(recordings: int) -> str:
    """What is told of recordings whose text went."""
    return f"{recordings} recordings have expired, as their storage's retention states"


@dataclass(frozen=True, slots=True)
class TextPosition:
    """A line's place in the order of hits: newest recordings first, in each by time."""

    started_ms: int
    recording: int
    """The index's own number of it."""
    line: int


@dataclass(frozen=True, slots=True)
class TextHit:
    """One line in which the text is. User and times are as the recording itself tells."""

    position: TextPosition
    session_id: str
    upload_id: str
    user: str
    offset_ms: int
    line: str


@dataclass(frozen=True, slots=True)
class IndexedRecording:
    """One that has lines, which are numbered in a row."""

    started_ms: int
    number: int
    """The index's own number of it."""
    first_line: int
    last_line: int
    session_id: str
    upload_id: str
    user: str

    @property
    def end(self) -> TextPosition:
        """The position of its last line."""
        return TextPosition(self.started_ms, self.number, self.last_line)

    @property
    def lines(self) -> int:
        """How many it has."""
        return self.last_line - self.first_line + 1

    def hit(self, line: int, offset_ms: int, text: str) -> TextHit:
        """A line of it."""
        position = TextPosition(self.started_ms, self.number, line)
        return TextHit(position, self.session_id, self.upload_id, self.user, offset_ms, text)


@dataclass(frozen=True, slots=True)
class TextPage:
    """One page of hits; `missing` says in words what the index misses."""

    hits: tuple[TextHit, ...]
    next_page_token: str
    missing: tuple[str, ...] = ()
