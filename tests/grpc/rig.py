"""A real gRPC server on a real socket with real TLS, identities and policy.

Only what is behind the edge is a stand-in: the use cases below keep events in memory and answer what a test tells them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from extaudit.v1 import error_reason_pb2
from google.rpc import error_details_pb2, status_pb2

from rbac.identities import Identity, IdentityKind
from rbac.policy import Policy, load_policy_folder
from server.access.lock_table import LockTable
from server.access.locks import Locks
from server.access.rights import Rights
from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.audit_log.export.blocks import Convert, EncodedBlock, EventBlock
from server.audit_log.export.chunk import ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement
from server.audit_log.search.query import Cost, EventSelector, FoundEvent, SearchPage, SearchQuery, Watermark
from server.audit_log.state_of_service import JournalState, ServiceState
from server.audit_log.validation import Payloads
from server.audit_log.watching.query import Encode, Watched, WatchQuery
from server.certificates.anchors import Anchor, TrustAnchors
from server.certificates.resolver import IdentityResolver
from server.errors import InvalidRequest, Violation
from server.grpc_api.interceptors.observation import CallRecord
from server.grpc_api.server import GrpcServer, Limits, TokenListener, UseCases
from server.grpc_api.use_cases import TokenAuthenticator
from server.state.locks import Lock
from tests.certificates_builder import CLUSTER, Ca, CaShape, Pair
from tests.grpc.memory_recordings import (
    MemoryLists,
    MemoryOpening,
    MemoryTextSearch,
    MemoryTransfers,
    MemoryUploads,
)

EMIT_EVENT = "/extaudit.v1.AuditLogService/EmitEvent"
EMIT_EVENTS = "/extaudit.v1.AuditLogService/EmitEvents"
SEARCH_EVENTS = "/extaudit.v1.AuditLogService/SearchEvents"
WATCH_EVENTS = "/extaudit.v1.AuditLogService/WatchEvents"
GET_EVENT = "/extaudit.v1.AuditLogService/GetEvent"
LIST_EVENT_CHUNKS = "/extaudit.v1.AuditLogService/ListEventChunks"
EXPORT_EVENTS = "/extaudit.v1.AuditLogService/ExportEvents"
LIST_ROLES = "/extaudit.v1.AccessService/ListRoles"
CHECK_ACCESS = "/extaudit.v1.AccessService/CheckAccess"
CREATE_LOCK = "/extaudit.v1.AccessService/CreateLock"
LIST_LOCKS = "/extaudit.v1.AccessService/ListLocks"
DELETE_LOCK = "/extaudit.v1.AccessService/DeleteLock"
UPLOAD_RECORDING = "/extaudit.v1.RecordingService/UploadRecording"
GET_UPLOAD = "/extaudit.v1.RecordingService/GetUpload"
COMPLETE_UPLOAD = "/extaudit.v1.RecordingService/CompleteUpload"
ABORT_UPLOAD = "/extaudit.v1.RecordingService/AbortUpload"
DOWNLOAD_RECORDING = "/extaudit.v1.RecordingService/DownloadRecording"
STREAM_RECORDING_EVENTS = "/extaudit.v1.RecordingService/StreamRecordingEvents"
LIST_RECORDINGS = "/extaudit.v1.RecordingService/ListRecordings"
SEARCH_RECORDINGS = "/extaudit.v1.RecordingService/SearchRecordings"
REINDEX_RECORDINGS = "/extaudit.v1.RecordingService/ReindexRecordings"
GET_STATUS = "/extaudit.v1.StatusService/GetStatus"


def in_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(20):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


async def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; the test's time bound ends it otherwise."""
    while not condition():  # noqa: ASYNC110 -- what is waited for has no event to wait on
        await asyncio.sleep(0.005)


@dataclass
class MemoryIntake:
    """Takes everything but `bad` and `of another`. With `holds`, messages become durable when a test settles them."""

    holds: bool = False
    events: list[bytes] = field(default_factory=list)
    accesses: list[Access] = field(default_factory=list)
    waiting: list[asyncio.Future[BatchAcknowledgement]] = field(default_factory=list)
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

    def submit(self, access: Access, payloads: Payloads) -> asyncio.Future[BatchAcknowledgement]:
        if self.refuses:
            raise self.refuses
        self.accesses.append(access)
        ack = BatchAcknowledgement("default", "log")
        first = len(self.events) + 1
        for index in range(len(payloads)):
            if index in payloads.refused:
                ack.refused.append((index, payloads.refused[index].violations))
            elif payloads.payload(index) == b"bad":
                ack.refused.append((index, [Violation("time", "must be RFC 3339")]))
            elif payloads.payload(index) == b"of another":
                ack.refused.append((index, [Violation("server_id", "must not speak for another component")]))
                ack.denied += 1
            else:
                self.events.append(payloads.payload(index))
        if len(self.events) >= first:
            ack.sequences.append((first, len(self.events)))
        future: asyncio.Future[BatchAcknowledgement] = asyncio.get_running_loop().create_future()
        self.acks.append(ack)
        self.waiting.append(future)
        if not self.holds:
            future.set_result(ack)
        return future

    def settle(self, index: int) -> None:
        self.waiting[index].set_result(self.acks[index])


@dataclass
class MemorySearches:
    page: SearchPage = field(
        default_factory=lambda: SearchPage([], "", "scan", Cost(), Watermark({"log": 1}, 2), [], "q-1")
    )
    found: tuple[FoundEvent, bytes] | None = None
    fails: Exception | None = None
    hangs: bool = False
    asked: list[tuple[Access, SearchQuery | EventSelector, float | None]] = field(default_factory=list)

    async def search(self, access: Access, query: SearchQuery, *, timeout: float | None) -> SearchPage:  # noqa: ASYNC109
        await self._ask(access, query, timeout)
        return self.page

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
        return None if known_revision == len(self.events) else (len(self.events), list(self.locks))


@dataclass
class HeldPolicy:
    """Stands where the policy's holder stands, so that tests swap policies."""

    current: Policy


@dataclass
class HeldAnchors:
    """Stands where the certificates in force stand, so that tests swap trust anchors."""

    resolver: IdentityResolver
    token_id: str = ""
    """Stands in for the token of every caller."""

    def trust(self, *anchors: Anchor) -> None:
        self.resolver = IdentityResolver(TrustAnchors(anchors), CLUSTER, frozenset)

    def resolve(self, pem: bytes, peer: str, now: datetime) -> Identity:
        identity = self.resolver.resolve(pem, peer, now)
        return replace(identity, token_id=self.token_id) if self.token_id else identity


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.offset

    def now_ms(self) -> int:
        return int(self().timestamp() * 1000)


@dataclass
class Rig:
    """The server and what is around it."""

    server: GrpcServer
    port: int
    host_ca: Ca
    user_ca: Ca
    intake: MemoryIntake
    searches: MemorySearches
    exports: MemoryExports
    watches: MemoryWatches
    status: MemoryStatus
    records: Records
    policy: HeldPolicy
    clock: Clock
    lock_store: MemoryLocks
    lock_table: LockTable
    authenticator: HeldAnchors
    denials: MemoryDenials
    uploads: MemoryUploads
    opening: MemoryOpening
    lists: MemoryLists
    text_search: MemoryTextSearch
    transfers: MemoryTransfers

    def channel(self, pair: Pair, *options: tuple[str, Any]) -> grpc.aio.Channel:
        credentials = grpc.ssl_channel_credentials(self.host_ca.pem, pair.key_pem, pair.pem)
        return grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options=options)

    def token_channel(self, *options: tuple[str, Any], pair: Pair | None = None) -> grpc.aio.Channel:
        """A channel to the listener for tokens; `pair` is a client certificate that it offers nevertheless."""
        given = (pair.key_pem, pair.pem) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(self.host_ca.pem, *given)
        return grpc.aio.secure_channel(f"localhost:{self.server.token_port}", credentials, options=options)

    def node(self) -> grpc.aio.Channel:
        """A component's channel: it may emit."""
        return self.channel(self.host_ca.component())

    def user(self, *roles: str, name: str = "alice") -> grpc.aio.Channel:
        return self.channel(self.user_ca.user(name, roles=roles))

    @property
    def touched(self) -> bool:
        """Whether any use case was asked for anything."""
        return bool(
            self.intake.accesses
            or self.searches.asked
            or self.exports.asked
            or self.watches.asked
            or self.status.shown
            or self.lock_store.events
            or self.uploads.asked
            or self.opening.asked
            or self.lists.asked
            or self.text_search.asked
        )


@contextlib.asynccontextmanager
async def serving(
    *,
    limits: Limits | None = None,
    holds: bool = False,
    roles: Any = None,
    listen: str = "127.0.0.1:0",
    tokens: TokenAuthenticator | None = None,
) -> AsyncIterator[Rig]:
    """A server that serves, and is stopped at the end. `roles`: a folder of role files."""
    host_ca, user_ca = CaShape().make(), CaShape().make()
    anchors = TrustAnchors(
        (
            Anchor(host_ca.id, IdentityKind.COMPONENT, host_ca.certificate, local=False),
            Anchor(user_ca.id, IdentityKind.USER, user_ca.certificate, local=False),
        )
    )
    pair = host_ca.server()
    credentials = grpc.ssl_server_credentials([(pair.key_pem, pair.pem)], host_ca.pem + user_ca.pem, True)
    intake, searches, status, records = MemoryIntake(holds), MemorySearches(), MemoryStatus(), Records()
    exports = MemoryExports()
    policy, clock, store = HeldPolicy(load_policy_folder(roles)), Clock(), MemoryLocks()
    authenticator, denials = HeldAnchors(IdentityResolver(anchors, CLUSTER, frozenset)), MemoryDenials()
    uploads, opening, lists, texts = MemoryUploads(holds), MemoryOpening(), MemoryLists(), MemoryTextSearch()
    transfers, watches = MemoryTransfers(), MemoryWatches()
    table = LockTable(store, clock.now_ms)
    locks = Locks(store, table, clock.now_ms, lambda: server.look_again())
    server = GrpcServer(
        listen,
        credentials,
        authenticator,
        policy,
        table,
        UseCases(
            intake,
            searches,
            exports,
            watches,
            status,
            Rights(policy, table),
            locks,
            denials,
            uploads,
            opening,
            lists,
            texts,
            transfers,
        ),
        limits=limits,
        observers=(records,),
        clock=clock,
        tokens=TokenListener(listen, grpc.ssl_server_credentials([(pair.key_pem, pair.pem)]), tokens)
        if tokens
        else None,
    )
    port = await server.start()
    server.health.set_serving(True)
    try:
        yield Rig(
            server,
            port,
            host_ca,
            user_ca,
            intake,
            searches,
            exports,
            watches,
            status,
            records,
            policy,
            clock,
            store,
            table,
            authenticator,
            denials,
            uploads,
            opening,
            lists,
            texts,
            transfers,
        )
    finally:
        await server.stop(0)


@dataclass(frozen=True)
class Failure:
    """What a client sees of a failed call."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: dict[str, str]
    violations: list[str]
    retry_seconds: float | None


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    """Read the details; exactly one ErrorInfo of a documented reason must be there."""
    found = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(found["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    infos, retry_seconds = 0, None
    for detail in status.details:
        infos += detail.Unpack(info)
        detail.Unpack(bad)
        if detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    assert infos == 1
    assert info.domain == "extaudit"
    assert error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{info.reason}") > 0
    fields = [violation.field for violation in bad.field_violations]
    return Failure(error.code(), info.reason, status.message, dict(info.metadata), fields, retry_seconds)


async def failing(call: Awaitable[Any]) -> Failure:
    """The failure that the call must end with."""
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError(f"the call went well: {answer}")


async def all_of(call: Any) -> list[Any]:
    """All responses of a stream."""
    return [message async for message in call]
