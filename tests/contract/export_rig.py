"""The export use cases over stored batches."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from extaudit.v1 import event_export_pb2 as pb
from prometheus_client import CollectorRegistry

from rbac.formulas import ALWAYS, Formula, Operator, Test
from server.audit_log.access import Access
from server.audit_log.export.blocks import Convert
from server.audit_log.export.chunk import ChunkId, ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.export.exports import Exports
from server.audit_log.export.listing import ChunkListing
from server.audit_log.export.tokens import ChunkTokens
from server.audit_log.stored_batches import StoredBatches
from server.errors import Unavailable
from server.grpc_api.export_messages import encoded_block
from server.observability.export_metrics import ExportMetrics
from server.observability.instruments import Instruments
from tests.contract.search_rig import ALICE, BOB, DAY_MS, NODE, NOON, Kept, SearchRig, event_json

OPEN = Test(("level",), Operator.ONE_OF, ("open",), True)


@dataclass
class Traces:
    """Where the traces go."""

    told: list[dict[str, Any]] = field(default_factory=list)
    ended: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each export that ended how many events and bytes left, and how far its chunk was looked at."""
    fails: bool = False

    async def exported(self, access: Access, query: ExportQuery, *, found: bool) -> None:
        self._tell(chunk=str(query.chunk), found=found)

    def export_ended(self, access: Access, query: ExportQuery, *, events: int, size: int, through: int) -> None:
        self.ended.append((events, size, through))

    async def chunks_listed(self, access: Access, query: ChunkQuery, page: ChunkPage) -> None:
        self._tell(chunks=len(page.chunks))

    def _tell(self, **members: Any) -> None:
        if self.fails:
            raise Unavailable("no", reason="JOURNAL_CLOSED")
        self.told.append(members)


@dataclass
class Exporting:
    """The use cases over a rig."""

    rig: SearchRig
    threads: ThreadPoolExecutor
    traces: Traces = field(default_factory=Traces)
    condition: Formula = ALWAYS
    """Of the caller's rights, as of now."""
    most: int = 2

    def __post_init__(self) -> None:
        rig = self.rig
        listing = ChunkListing(
            rig.storages, rig.log.tail, rig.catalogue, ChunkTokens(b"k" * 32), rig.search.foreign.refresh
        )
        batches = StoredBatches(rig.storages, rig.catalogue)
        self.metrics = CollectorRegistry()
        metrics = ExportMetrics(Instruments(self.metrics, []))
        self.exports = Exports(
            listing, batches, rig.catalogue, self.threads, self.traces, metrics, most=self.most,  # type: ignore[arg-type]
        )  # fmt: skip

    def access(self) -> Access:
        return Access(ALICE, "peer", "id", self.condition)

    def chunk(self) -> ChunkId:
        [batch] = self.rig.catalogue.batches()
        return ChunkId.of(batch)

    def given(
        self, query: ExportQuery, between: Callable[[], object] = lambda: None, convert: Convert = encoded_block
    ) -> list[pb.ExportEventsResponse]:
        """All messages; `between` is called after each."""

        async def collect() -> list[pb.ExportEventsResponse]:
            found = []
            async for block in self.exports.events(self.access, query, convert):
                message = pb.ExportEventsResponse.FromString(block.data)
                assert block.events == len(message.columns.sequences)
                found.append(message)
                between()
            return found

        return in_loop(collect())


def in_loop(work: Awaitable[Any]) -> Any:
    async def bounded() -> Any:
        async with asyncio.timeout(240):
            return await work

    return asyncio.run(bounded())


def fill(rig: SearchRig, count: int = 60, *, size: int = 40_000) -> list[Kept]:
    """One batch over two dates, of several emitters, sizes, types, users, sessions and levels."""
    rng = random.Random(count)
    kept = []
    for number in range(count):
        event = event_json(
            f"u-{number}",
            NOON + rng.randrange(2) * DAY_MS - rng.randrange(5_000),
            rng.choice(["user.login", "session.start", "ü.ß"]),
            user=rng.choice(["alice", "bob", "ü" * 40]),
            sid=rng.choice(["", "s-1", "s-2"]),
            level=rng.choice(["open", "secret"]),
            text="x" * rng.randrange(size),
        )
        kept += rig.emit(event, by=rng.choice([ALICE, BOB, NODE]), received_ms=NOON + rng.randrange(9))
    rig.cut()
    rig.deliver()
    return kept


def rows_of(messages: Sequence[pb.ExportEventsResponse]) -> list[tuple[Any, ...]]:
    """Everything that is said of each event."""
    found: list[tuple[Any, ...]] = []
    for message in messages:
        columns, start = message.columns, 0
        assert (columns.storage, len(columns.log_id)) == ("default", 20)
        lists = (
            columns.sequences, columns.times_ms, columns.types, columns.uids, columns.session_ids, columns.users,
            columns.json_sizes, columns.emitter_numbers, columns.received_times_ms,
        )  # fmt: skip
        for row in zip(*lists, strict=True):
            *members, size, number, received = row
            who = columns.emitters[number - 1]
            found.append((*members, columns.json[start : start + size], who.emitter.name, who.peer, received))
            start += size
        assert start == len(columns.json)
    return found


def row_of(kept: Kept) -> tuple[Any, ...]:
    event, receipt = kept.event, kept.receipt
    assert receipt.emitter is not None
    return (
        receipt.sequence, event.time_ms, event.type, event.uid, event.session_id, event.user, event.data,
        receipt.emitter.name, receipt.peer, receipt.received_ms,
    )  # fmt: skip
