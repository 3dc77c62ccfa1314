"""Uploads without sockets, on any file layer: what the tests begin, stop, reopen and look into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import orjson
from sqlalchemy import Engine

from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.storages import UnknownStorage
from server.files import Files
from server.observability.alerts.alerts import Alerts
from server.recordings.reading import Recordings
from server.recordings.recording import Recording, UploadState
from server.recordings.storages import RecordingStorages
from server.recordings.threads import RecordingThreads
from server.recordings.uploads.custody_proofs import CustodyProofs
from server.recordings.uploads.ending import Endings
from server.recordings.uploads.parts import PartSchedule
from server.recordings.uploads.recovery import recover, recover_spooled
from server.recordings.uploads.settling import Settling
from server.recordings.uploads.upload_ids import UploadIds
from server.recordings.uploads.upload_stream import StreamLimits
from server.recordings.uploads.uploads import UploadLimits, Uploads
from server.state.outbox import Outbox
from server.state.uploads import OpenLimits, SqlUploads
from server.storage.aws.clients import ServiceClient
from server.storage.aws.place import Connection, Place
from server.storage.aws.recordings import S3Recordings
from server.storage.aws.store import Store
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.upload_folders import UploadFolders
from server.storage.recording_port import RecordingStorage
from server.storage.spec import S3Location
from tests.memory_s3 import CloudedFiles, MemoryS3

FOLDER = Path("data") / "recordings"
SECRET = b"s" * 32
SCHEDULE = PartSchedule(8, step=2, most=10)
"""Parts of 8, 8, 16, 16, … bytes, so that few bytes make many."""
SESSION = "5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b11"
OTHER_SESSION = "5c4e9c6e-2f6b-4d0b-9f53-0d4f1a3c7b12"
NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "a" * 64, "1f")
OTHER_NODE = Identity(IdentityKind.COMPONENT, "node-2", frozenset({"Node"}), "a" * 64, "2f")
ADMIN = Identity(IdentityKind.USER, "admin", frozenset({"admin"}), "b" * 64, "3f")


def access(who: Identity = NODE) -> Access:
    return Access(who, "ipv4:127.0.0.1:1", "request-1")


class SameThread(Executor):
    """Does everything at once, where it is asked for."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@dataclass
class UploadsUnderTest:
    """One process's life: opened on a file layer and a state database."""

    files: Files
    engine: Engine
    folder: Path = FOLDER
    schedule: PartSchedule = SCHEDULE
    max_bytes: int = 1_000
    open_limits: OpenLimits = field(default_factory=lambda: OpenLimits(10, 20))
    servers: dict[str, Collection[str]] = field(default_factory=dict)
    admit: Callable[[int], None] = lambda size: None
    threads: Executor = field(default_factory=SameThread)
    remote_threads: Executor = field(default_factory=SameThread)
    now_ms: int = 1_795_000_000_000
    secret: bytes = SECRET

    def __post_init__(self) -> None:
        self.store = SqlUploads(self.engine)
        self.storage = self._storage()
        storages = RecordingStorages(self.storage, self._no_other, lambda: self.storage.storage_id)
        self.alerts = Alerts()
        proofs = CustodyProofs(self.secret)
        endings = Endings(self.store, storages, self._servers_of, self._tick, proofs, self.alerts, self.schedule)
        self.failed = self._recover(endings)
        limits = UploadLimits(
            StreamLimits(self.max_bytes, lambda size: self.admit(size)),
            self.open_limits,
            backlog_bytes=64 * 1024 * 1024,
            abandoned_after_ms=1_000_000,
            schedule=self.schedule,
            idle_seconds=0.0,
        )
        threads = RecordingThreads(self.threads, self.remote_threads)
        self.uploads = Uploads(
            UploadIds(self.secret), self.store, storages, endings, threads, limits, self._tick, self.alerts
        )
        self.settling = Settling(
            self.uploads,
            self.store,
            storages,
            lambda: {self.storage.storage_id} - {"default"},
            endings,
            threads,
            self.alerts,
        )
        self.recordings = Recordings(self.store, storages, threads, self._tick, self.alerts, self.schedule)

    def _storage(self) -> RecordingStorage:
        return EmbeddedRecordings(self.files, self.folder)

    def _recover(self, endings: Endings) -> int:
        return recover(self.store, self.storage, endings)

    def _no_other(self, storage_id: str) -> RecordingStorage:
        raise UnknownStorage(storage_id)

    def _servers_of(self, session: str) -> Collection[str]:
        return self.servers.get(session, ())

    def _tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    async def send(
        self,
        data: bytes,
        *,
        who: Identity = NODE,
        session: str = SESSION,
        upload_id: str = "",
        at: int = 0,
        with_sha256: bool = True,
    ) -> str:
        """Send bytes in one stream, wait until they are durable, leave; gives the upload's id."""
        stream = await self.uploads.start(access(who), session, upload_id, with_sha256=with_sha256)
        if data:
            await stream.write(at, data)
            while await stream.wait_durable(at + len(data) - 1) < at + len(data):
                pass
        await stream.close()
        return stream.upload.upload_id

    async def complete(
        self, upload_id: str, *, who: Identity = NODE, size: int | None = None, **given: Any
    ) -> tuple[Recording, UploadState]:
        given = {"sha256": "", "custody_digest": "", "partial": False, "may_update": False} | given
        return await self.uploads.complete(access(who), upload_id, size=size, **given)

    async def record(self, data: bytes, **how: Any) -> tuple[Recording, UploadState]:
        """Send and complete."""
        return await self.complete(await self.send(data, **how), who=how.get("who", NODE))

    async def content(self, recording: Recording, offset: int = 0, length: int = 2**62) -> bytes:
        """What a reader is given."""
        return b"".join([piece async for piece in self.recordings.chunks(recording, offset, length)])

    def told(self) -> list[dict[str, Any]]:
        """The events that wait in the outbox."""
        return [orjson.loads(item.data) for item in Outbox(self.engine).first(1_000)]


@dataclass
class S3UploadsUnderTest(UploadsUnderTest):
    """The same with a bucket in memory, `files` being CloudedFiles."""

    retention_days: int = 0
    senders: Executor = field(default_factory=SameThread)

    def _storage(self) -> RecordingStorage:
        assert isinstance(self.files, CloudedFiles)
        self.s3 = MemoryS3(self.files)
        store = Store(needs_versions=self.files.bucket.keeps_versions)

        def way() -> Connection:
            place = Place(
                S3Location("bucket", "sessions"), "123456789012", store=store, retention_days=self.retention_days
            )
            return Connection(lambda: cast(ServiceClient, self.s3), place)

        return S3Recordings("aws-1", UploadFolders(self.files, self.folder), way, self.senders)

    def _recover(self, endings: Endings) -> int:
        return recover_spooled(self.store, self.storage)


def run(work: Any) -> Any:
    """Run to the end on a loop of its own."""
    return asyncio.run(work)
