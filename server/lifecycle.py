"""The built service: how it starts, what it says of itself, and how it stops."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.audit_log.deliveries_by_storage import DeliveriesByStorage
from server.audit_log.intake import Intake
from server.audit_log.opening import OpenLog
from server.audit_log.recalling import Recalling
from server.audit_log.scrub.scrubbing import Scrubbing
from server.audit_log.self_audit import SelfAudit
from server.audit_log.status import Status
from server.certificates.claims import ADMINISTRATOR
from server.certificates.local_authority import LocalAuthority
from server.config import Config, digest
from server.data_directory import DataDirectory, DirectoryLock
from server.external_storage.connection_tests import ConnectionTests
from server.external_storage.switching import Switch
from server.files import DiskFiles, write_durably
from server.grpc_api.server import GrpcServer
from server.housekeeping import Housekeeping
from server.http_api.listener import OperationsServer
from server.issuer_assembly import IssuerPart
from server.observability.alerts.evaluation import Evaluation
from server.observability.service_metrics import LoopLag
from server.recordings.sessions.reindexing import Reindexing
from server.recordings.text_search.indexing import TextIndexing
from server.recordings.uploads.settling import Settling
from server.reloading import Reloading
from server.tokens.token_issuers import TokenIssuers
from server.warming import warm_up

_log = logging.getLogger(__name__)
STOP_GRACE_SECONDS = 10.0
_EXPORT_THREADS = 2
"""Reading and encoding a batch takes a processor, and the clients that read several at once wait for each other."""
_DELIVERY_THREADS = 512
"""Begun where they are needed. Deliveries to each storage have a bound of their own, which is met long before."""
_REMOTE_SEARCHES = 16
"""Searches at once that may wait for AWS; those of what is on this machine don't wait behind them."""
_REMOTE_READERS = 8
"""Threads that read batches for exports and those who watch, where they may have to wait for AWS."""
_READERS = 2
"""Threads that read stored batches for those who watch."""


@dataclass(slots=True)
class Threads:
    """The threads that blocking work runs on."""

    journal: ThreadPoolExecutor
    delivery: ThreadPoolExecutor
    searches: ThreadPoolExecutor
    exports: ThreadPoolExecutor
    validation: ThreadPoolExecutor
    reindexing: ThreadPoolExecutor
    reading: ThreadPoolExecutor
    remote_searches: ThreadPoolExecutor
    remote_reading: ThreadPoolExecutor

    def by_name(self) -> dict[str, ThreadPoolExecutor]:
        """Each by what it does."""
        return {
            "journal": self.journal,
            "delivery": self.delivery,
            "search": self.searches,
            "remote-search": self.remote_searches,
            "reading": self.reading,
            "remote-reading": self.remote_reading,
            "export": self.exports,
            "validation": self.validation,
            "reindexing": self.reindexing,
        }

    def shutdown(self) -> None:
        """Wait for what is under way."""
        readers = self.reindexing, self.reading, self.searches, self.exports
        remote = self.remote_searches, self.remote_reading
        for executor in (*readers, *remote, self.validation, self.delivery, self.journal):
            executor.shutdown(wait=True, cancel_futures=True)


def threads_of(search_workers: int) -> Threads:
    """The threads of a service; each is begun when it is first needed."""
    return Threads(
        ThreadPoolExecutor(1, "journal"),
        ThreadPoolExecutor(_DELIVERY_THREADS, "delivery"),
        ThreadPoolExecutor(search_workers, "search"),
        ThreadPoolExecutor(_EXPORT_THREADS, "export"),
        ThreadPoolExecutor(1, "validation"),
        ThreadPoolExecutor(1, "reindexing"),
        ThreadPoolExecutor(_READERS, "reading"),
        ThreadPoolExecutor(_REMOTE_SEARCHES, "remote-search"),
        ThreadPoolExecutor(_REMOTE_READERS, "remote-reading"),
    )


@dataclass(slots=True)
class App:
    """The built service. `start` serves, `stop` drains; both once."""

    config: Config
    directory: DataDirectory
    lock: DirectoryLock
    local: LocalAuthority
    log: OpenLog
    intake: Intake
    deliveries: DeliveriesByStorage
    recalling: Recalling
    switch: Switch
    active: Callable[[], str]
    """The storage that the state says is active."""
    status: Status
    self_audit: SelfAudit
    grpc: GrpcServer
    http: OperationsServer
    housekeeping: Housekeeping
    reindexing: Reindexing
    text_indexing: TextIndexing
    settling: Settling
    scrubbing: Scrubbing
    alerts: Evaluation
    tokens: TokenIssuers
    issuer: IssuerPart
    reloading: Reloading
    loop_lag: LoopLag
    threads: Threads
    connection_tests: ConnectionTests
    give_up: Callable[[], object]
    """Has what waits for other services end soon."""
    close: list[Callable[[], object]]
    failed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a part of the service has failed and the process must end."""
    grpc_port: int = 0
    http_port: int = 0
    http_public_port: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Serve. Ports are bound before health says so."""
        await asyncio.get_running_loop().run_in_executor(self.threads.validation, warm_up)
        self._run(self.intake.run())
        self._run(self.deliveries.run())
        # A stop may have come between the state's change and the journal's marker.
        await self.switch.to(self.active())
        await self.housekeeping.look()
        await self.tokens.refresh()
        await self.self_audit.start(
            version=self.status.version,
            configuration=digest(self.config),
            policy=self.status.policy_digest,
            clean=self.log.recovery.clean,
        )
        for work in self.self_audit.tasks():
            self._run(work)
        self.grpc_port = await self.grpc.start()
        self._run(self.grpc.until_stopped())
        self.http_port = await self.http.start()
        if self.issuer.listener is not None:
            self.http_public_port = await self.issuer.listener.start()
        self.grpc.health.set_serving(not self.status.problems())
        self._run(self.housekeeping.run())
        self._run(self.reindexing.run())
        self._run(self.recalling.run())
        self._run(self.text_indexing.run())
        self._run(self.settling.run())
        self._run(self.scrubbing.run())
        self._run(self.alerts.run())
        self._run(self.tokens.run())
        self._run(self.issuer.upkeep.run())
        self._run(self.reloading.run())
        self._run(self.loop_lag.run())
        self._write_ready_file()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Without any one of its tasks the service would only look alive."""
        if not task.cancelled() and task.exception() is not None:
            _log.critical("a part of the service has failed", exc_info=task.exception())
            self.failed.set()

    async def stop(self) -> None:
        """Drain: refuse new calls, finish what is under way, record an orderly stop, close everything."""
        self.ready_file.unlink(missing_ok=True)
        await self.grpc.stop(STOP_GRACE_SECONDS)
        await self.http.stop()
        await self.connection_tests.close()
        if self.issuer.listener is not None:
            await self.issuer.listener.stop()
        self.housekeeping.stop()
        self.reindexing.stop()
        self.recalling.stop()
        self.text_indexing.stop()
        self.settling.stop()
        self.scrubbing.stop()
        self.alerts.stop()
        self.tokens.stop()
        self.issuer.upkeep.stop()
        self.reloading.stop()
        self.loop_lag.stop()
        await self.self_audit.stop(version=self.status.version)
        self.intake.stop()
        self.deliveries.stop()
        if self._tasks:  # one that waits for a bucket that doesn't answer would wait for minutes
            await asyncio.wait(self._tasks, timeout=STOP_GRACE_SECONDS)
        self.give_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.threads.journal, self.log.journal.stop)
        self.threads.shutdown()
        self.log.uid_files.close()
        for close in self.close:
            close()
        self.lock.release()

    @property
    def ready_file(self) -> Path:
        """File that tells others where the service is."""
        return self.config.ready_file or self.directory.ready_file

    @property
    def ready(self) -> dict[str, Any]:
        """What the ready-file says."""
        folder = self.local.folder
        return {
            "grpc": _address(self.config.grpc.listen, self.grpc_port),
            "grpc_token": self._token_address,
            "http": _address(self.config.http.listen, self.http_port),
            "http_public": self._public_address,
            "ca": str(folder.client_ca.absolute()),
            "cert": str(folder.certificate(ADMINISTRATOR).absolute()),
            "key": str(folder.key(ADMINISTRATOR).absolute()),
            "pid": os.getpid(),
        }

    @property
    def _token_address(self) -> str | None:
        listen, port = self.config.grpc.token_listen, self.grpc.token_port
        return None if listen is None or port is None else _address(listen, port)

    @property
    def _public_address(self) -> str | None:
        listen = self.config.http.public_listen
        return None if listen is None or not self.http_public_port else _address(listen, self.http_public_port)

    def _write_ready_file(self) -> None:
        write_durably(DiskFiles(), self.ready_file, json.dumps(self.ready).encode() + b"\n")


def _address(listen: str, port: int) -> str:
    return f"{listen.rpartition(':')[0]}:{port}"
