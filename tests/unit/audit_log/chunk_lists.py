"""Lists of chunks over a catalogue, for tests of what they give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from rbac.identities import Identity, IdentityKind
from server.audit_log.bucket_looks import Looked
from server.audit_log.export.chunk import Chunk, ChunkPage, ChunkQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.storages import Storages
from server.audit_log.tail import Tail
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch, CatalogueObject

ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "a1")


BOB = Identity(IdentityKind.USER, "bob", frozenset({"auditor"}), "anchor", "b1")


LOGS = [f"{number:020x}" for number in range(1, 4)]


LOG = LOGS[0]


DAY_MS = 86_400_000


DAY = "2026-11-18"


NOWHERE: Any = SimpleNamespace(storage_id="default")
"""A storage of which lists ask no more than its id."""


@dataclass
class Lists:
    """A catalogue, a tail and the lists over them."""

    catalogue: Catalogue
    tail: Tail = field(default_factory=Tail)
    refreshed: list[tuple[int | None, int | None]] = field(default_factory=list)
    looked: Looked = field(default_factory=Looked)
    fails: Exception | None = None

    def __post_init__(self) -> None:
        self.listing = self.with_key(b"k" * 32)

    def with_key(self, key: bytes) -> ChunkListing:
        return ChunkListing(Storages(NOWHERE), self.tail, self.catalogue, ChunkTokens(key), self._refresh)

    def _refresh(self, from_ms: int | None, to_ms: int | None, storages: frozenset[str]) -> Looked:
        self.refreshed.append((from_ms, to_ms))
        if self.fails:
            raise self.fails
        return self.looked

    def store(
        self, first: int, last: int, log_id: str = LOG, storage: str = "default", times: Sequence[int] = (0,)
    ) -> CatalogueBatch:
        """Confirm a batch with an object of 10 bytes a row for each of the times."""
        batch = CatalogueBatch(storage, log_id, first, last, "digest", 0)
        rows = last - first + 1
        objects = [
            CatalogueObject(
                storage, f"{DAY}/{log_id}-{first}-{last}.r{number}.parquet", rows, rows * 10, time, time + 9,
                frozenset(), "sha", log_id, first, last,
            )
            for number, time in enumerate(times)
        ]  # fmt: skip
        self.catalogue.add_batch(batch, objects)
        return batch

    def page(self, caller: Identity = ALICE, *, sees_all: bool = True, **asked: object) -> ChunkPage:
        return self.listing.page(caller, ChunkQuery(**asked), sees_all=sees_all)  # type: ignore[arg-type]

    def pages(
        self, between: Callable[[], object] = lambda: None, *, sees_all: bool = True, **asked: object
    ) -> tuple[list[Chunk], ChunkPage]:
        """All chunks, and the last page; `between` is called between two pages."""
        chunks: list[Chunk] = []
        token = ""
        while True:
            page = self.page(page_token=token, sees_all=sees_all, **asked)
            chunks += page.chunks
            token = page.next_page_token
            assert (page.complete_through is None) == bool(token)
            if not token:
                return chunks, page
            between()


def ranges(chunks: Sequence[Chunk]) -> list[tuple[int, int]]:
    return [(chunk.id.first, chunk.id.last) for chunk in chunks]
