"""Stand-ins for what is behind the edge: they keep events in memory and answer what a test tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.audit_log.export.blocks import Convert, EncodedBlock, EventBlock
from server.audit_log.export.chunk import ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement
from server.audit_log.search.query import Cost, EventSelector, FoundEvent, SearchPage, SearchQuery, Watermark
from server.audit_log.state_of_service import JournalState, ServiceState
from server.audit_log.validation import Payloads
from server.audit_log.watching.query import Encode, Watched, WatchQuery
from server.errors import InvalidRequest, Violation
from server.grpc_api.interceptors.observation import CallRecord
from server.state.locks import Lock
from server.state.signing_keys import KeyState, SigningKey


@dataclass
class MemoryIntake:
    """Takes everything but `bad` and `of another`. With `holds`, messages become durable when a test settles them."""

    holds: bool = False
    events: list[bytes] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    has_room: bool = True
    waiting: list[Callable[[BatchAcknowledgement | Exception], None]] = field(default_factory=list)
    """What tells the outcome of each message that was submitted."""
    acks: list[BatchAcknowledgement] = field(default_factory=list)
    refuses: Exception | None = None

    async def emit(self, access: Access, payload: bytes) -> Acknowledgement:
        if self.refuses:
            raise self.refuses
        if payload == b"bad":
            raise InvalidRequest([Violation("time", "must be RFC 3339"), Violation("json", "must be an object")])
        self.accesses.append(access)
        self.events.append(payload)
        if self.holds:
            await asyncio.Event().wait()
        return Acknowledgement("u-1", "default", "log", len(self.events), repeated=True, uid_reused=True)

    async def until_room(self) -> None:
        """There always is."""

    def submit(
        self, access: Access, payloads: Payloads, tell: Callable[[BatchAcknowledgement | Exception], None]
    ) -> None:
        if self.refuses:
            raise self.refuses
        self.accesses.append(access)
        refused: list[tuple[int, list[Violation]]] = []
        ack = BatchAcknowledgement("default", "log", refused=refused)
        first = len(self.events) + 1
        for index in range(len(payloads)):
            if index in payloads.refused:
                refused.append((index, payloads.refused[index].violations))
            elif payloads.payload(index) == b"bad":
                refused.append((index, [Violation("time", "must be RFC 3339")]))
            elif payloads.payload(index) == b"of another":
                refused.append((index, [Violation("server_id", "must not speak for another component")]))
                ack.denied += 1
            else:
                self.events.append(payloads.payload(index))
        if len(self.events) >= first:
            ack.sequences.append((first, len(self.events)))
        self.acks.append(ack)
        self.waiting.append(tell)
        if not self.holds:
            tell(ack)

    def settle(self, index: int) -> None:
        self.waiting[index](self.acks[index])


@dataclass
class MemorySearches:
    page: SearchPage = field(
        default_factory=lambda: SearchPage([], "", "scan", Cost(), Watermark({"log": 1}, 2), [], "q-1")
    )
    found: tuple[FoundEvent, bytes] | None = None
    fails: Exception | None = None
    hangs: bool = False
    asked: list[tuple[Access, SearchQuery | EventSelector, float | None]] = field(default_factory=list)

    async def search(
        self,
        access: Access,
        query: SearchQuery,
        convert: Callable[[SearchPage], bytes],
        *,
        timeout: float | None,  # noqa: ASYNC109
    ) -> bytes:
        await self._ask(access, query, timeout)
        return convert(self.page)

    async def get(
        self,
        access: Access,
        selector: EventSelector,
        *,
        timeout: float | None,  # noqa: ASYNC109
    ) -> tuple[FoundEvent, bytes]:
        await self._ask(access, selector, timeout)
        assert self.found is not None
        return self.found

    async def _ask(self, access: Access, asked: SearchQuery | EventSelector, seconds: float | None) -> None:
        self.asked.append((access, asked, seconds))
        if self.fails:
            raise self.fails
        if self.hangs:
            await asyncio.Event().wait()


@dataclass
class MemoryExports:
    page: ChunkPage = field(default_factory=lambda: ChunkPage([], complete_through={}))
    blocks: list[EventBlock] = field(default_factory=list)
    fails: Exception | None = None
    hangs: bool = False
    """After its blocks."""
    closed: int = 0
    asked: list[tuple[Access, ChunkQuery | ExportQuery]] = field(default_factory=list)

    async def chunks(self, access: Access, query: ChunkQuery) -> ChunkPage:
        self.asked.append((access, query))
        if self.fails:
            raise self.fails
        return self.page

    async def events(
        self, access: Callable[[], Access], query: ExportQuery, convert: Convert
    ) -> AsyncGenerator[EncodedBlock, None]:
        self.asked.append((access(), query))
        if self.fails:
            raise self.fails
        try:
            for block in self.blocks:
                access()
                yield EncodedBlock(convert(block), len(block.sequences), block.through)
            if self.hangs:
                await asyncio.Event().wait()
        finally:
            self.closed += 1


@dataclass
class MemoryWatches:
    """Gives each watcher `answers`, and then waits until it is told to end."""

    answers: list[Watched] = field(default_factory=lambda: [Watched([], {"log": 1}, True)])
    asked: list[tuple[Access, WatchQuery]] = field(default_factory=list)
    begun: list[MemoryWatch] = field(default_factory=list)
    fails: Exception | None = None

    async def begin(self, access: Callable[[], Access], query: WatchQuery, encode: Encode) -> MemoryWatch:
        self.asked.append((access(), query))
        if self.fails:
            raise self.fails
        answers = [replace(each, encoded=encode(each.events)) for each in self.answers]
        self.begun.append(MemoryWatch(access, answers))
        return self.begun[-1]


@dataclass
class MemoryWatch:
    access: Callable[[], Access]
    answers: list[Watched]
    ending: asyncio.Event = field(default_factory=asyncio.Event)
    closed: int = 0

    async def next(self) -> Watched | None:
        self.access()
        if not self.answers:
            await self.ending.wait()
        return None if self.ending.is_set() else self.answers.pop(0)

    def end(self) -> None:
        self.ending.set()

    def close(self) -> None:
        self.closed += 1


@dataclass
class MemoryStatus:
    shown: list[bool] = field(default_factory=list)

    async def state(self, access: Access, *, show_location: bool) -> ServiceState:
        self.shown.append(show_location)
        return ServiceState("1", 1_500, True, (), JournalState("log", 1, 0, 0, 0, 0, 0, 0), ())


@dataclass
class Records:
    """Keeps what observers are told."""

    calls: list[CallRecord] = field(default_factory=list)

    def finished(self, record: CallRecord) -> None:
        self.calls.append(record)


@dataclass
class MemoryDenials:
    """Keeps what is told of events that streams refuse."""

    told: list[tuple[Access, Refusal, int]] = field(default_factory=list)

    def refused(self, access: Access, refusal: Refusal, count: int = 1) -> None:
        self.told.append((access, refusal, count))


@dataclass
class MemoryKeyRotation:
    """Has one key, and keeps what it was asked for."""

    asked: list[tuple[Access, bool, str]] = field(default_factory=list)
    keys: list[SigningKey] = field(
        default_factory=lambda: [SigningKey("kid", KeyState.ACTIVE, {"kty": "RSA"}, "wrapped", 1_000, 2_500)]
    )

    async def rotate(self, access: Access, *, drop_old: bool, reason: str) -> list[SigningKey]:
        self.asked.append((access, drop_old, reason))
        return self.keys


@dataclass
class MemoryLocks:
    """Keeps locks and the events that tell of them."""

    locks: list[Lock] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)

    def add(self, lock: Lock, event: dict[str, object]) -> None:
        self.locks.append(lock)
        self.events.append(event)

    def remove(self, lock_id: str, now_ms: int, event: dict[str, object]) -> bool:
        kept = [lock for lock in self.locks if lock.id != lock_id]
        if len(kept) == len(self.locks):
            return False
        self.locks = kept
        self.events.append(event)
        return True

    def read(self, known_revision: int) -> tuple[int, list[Lock]] | None:
        return (
            None
            if known_revision == len(self.events)
            else (len(self.events), sorted(self.locks, key=lambda lock: (lock.created_ms, lock.id)))
        )
