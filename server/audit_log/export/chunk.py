"""Chunks: stored batches as they are asked for and listed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from server.audit_log.search.query import EventFilter, Missing
from server.state.catalogue_rows import CatalogueBatch

DEFAULT_PAGE_SIZE = 1_000
MAX_PAGE_SIZE = 10_000
MAX_ID_CHARACTERS = 256
_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9._:-]{0,127})/([0-9a-f]{20})/([1-9][0-9]{0,18})-([1-9][0-9]{0,18})", re.ASCII)


class ChunkId(NamedTuple):
    """Names a chunk. It is looked up in the catalogue and never part of a path."""

    storage: str
    log_id: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.storage}/{self.log_id}/{self.first}-{self.last}"

    @classmethod
    def parse(cls, text: str) -> ChunkId:
        """From its text.

        Raises:
            ValueError: it is no chunk's id.
        """
        match = _ID.fullmatch(text) if len(text) <= MAX_ID_CHARACTERS else None
        if match is None:
            raise ValueError("not the id of a chunk")
        return cls(match[1], match[2], int(match[3]), int(match[4]))

    @classmethod
    def of(cls, batch: CatalogueBatch) -> ChunkId:
        """The id of a batch."""
        return cls(batch.storage, batch.log_id, batch.first, batch.last)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk as it is listed. Of a caller who may see only some events nothing but the sequences is told."""

    id: ChunkId
    events: int = 0
    bytes: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ChunkQuery:
    """One page asked for. The transport has checked types and bounds of the single fields."""

    storage: str = "followed"
    from_ms: int | None = None
    to_ms: int | None = None
    """Exclusive."""
    after: Mapping[str, int] = field(default_factory=dict)
    """For each log the last sequence that the caller is done with."""
    page_size: int = DEFAULT_PAGE_SIZE
    page_token: str = ""


@dataclass(frozen=True, slots=True)
class ChunkPage:
    """One page. All but the chunks comes with the last one."""

    chunks: Sequence[Chunk]
    next_page_token: str = ""
    complete_through: Mapping[str, int] | None = None
    missing: Sequence[Missing] = ()
    foreign_objects: int = 0


@dataclass(frozen=True, slots=True)
class ExportQuery:
    """The events of one chunk that are asked for."""

    chunk: ChunkId
    after_sequence: int = 0
    wanted: EventFilter = field(default_factory=EventFilter)
