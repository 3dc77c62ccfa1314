"""A log whose storage is S3 in an account of the sandbox, set up as planned, and a search that may ask Athena there.

What reaches AWS does so with the role that holds the planned policy and nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.audit_log.search.narrowing import Narrowing
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.storage.aws.athena.budget import ReadBudget
from server.storage.aws.athena.executor import AthenaExecutor, Ended
from server.storage.aws.athena.finder import AthenaFinder, Way
from server.storage.aws.clients import AwsClients
from server.storage.aws.event_storage import S3EventStorage
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.place import Connection, Place
from server.storage.aws.session import AwsSettings
from server.storage.finding import Finding, FindRequest, ObjectFinder
from tests.account_under_test import Account
from tests.contract.search_rig import TOKEN_KEY, Kept, SearchRig, duck_engine

AWS = "aws-1"


@dataclass
class Watched:
    """A finder whose findings can be looked at."""

    finder: ObjectFinder
    findings: list[tuple[FindRequest, Finding]] = field(default_factory=list)

    def find(self, request: FindRequest, deadline: float) -> Finding:
        finding = self.finder.find(request, deadline)
        self.findings.append((request, finding))
        return finding


@dataclass
class AthenaRig:
    """The rig of searches, its new events going to S3."""

    account: Account
    log: SearchRig
    clients: AwsClients
    storage: S3EventStorage
    executor: AthenaExecutor
    ended: list[Ended]
    clock: list[float]
    """Seconds that the looks at the table are ahead."""
    finder: Watched = field(init=False)

    def __post_init__(self) -> None:
        self.finder = Watched(AthenaFinder(self.way, self.executor, lambda: time.monotonic() + self.clock[0]))

    def way(self) -> Way:
        """The way to the table as of now."""
        clients, wanted = self.clients, self.account.wanted()
        return Way(clients.athena, clients.glue, self.account.spec, wanted.table, wanted.account_id)

    def search(self, *, scan_bytes: int = 0, limit: int = 10_000, finder: ObjectFinder | None = None) -> Search:
        """A search that may ask Athena; with new tokens, so that nothing of earlier searches is known."""
        rig, found = self.log, finder or self.finder
        finders = {AWS: found}
        narrowing = Narrowing(rig.storages, finders.get, scan_bytes=scan_bytes, limit=limit)
        return Search(rig.storages, rig.engine, rig.log.tail, rig.catalogue, PageTokens(TOKEN_KEY), narrowing=narrowing)

    def deliver(self) -> None:
        """Cut, and deliver all that is cut."""
        self.log.cut()
        delivery = self.log.delivery_to(AWS)
        while delivery.deliver_next() is not None:
            pass

    def store(self, *raw: bytes) -> list[Kept]:
        """Emit, cut and deliver: one batch of its own."""
        new = self.log.emit(*raw)
        self.deliver()
        return new

    def key(self, name: str) -> dict[str, Any]:
        """Where an object is, for the administrator."""
        return {"Bucket": self.account.long_term, "Key": f"{self.account.spec.events.prefix}/{name}"}


@contextmanager
def athena_rig(account: Account, folder: Path, *, budget: int = 0) -> Iterator[AthenaRig]:
    """A rig over what is in the account; a new log in a new folder. Waiting for Athena is cut short."""
    sandbox = account.sandbox
    settings = AwsSettings(endpoint=sandbox.endpoint, attempts=1)
    clients = AwsClients(sandbox.region, account.role_arn, account.issuer.token, settings)
    cache = ObjectCache(folder / "cache", 1 << 30, 4)
    place = Place(account.spec.events, sandbox.account_id)
    storage = S3EventStorage(AWS, lambda: Connection(lambda: clients.s3, place), cache)
    rig = SearchRig(folder / "data", duck_engine(folder))
    rig.storages.add(storage)
    rig.log.writer.switch(AWS)
    rig.storages.activate(AWS)
    ended: list[Ended] = []
    executor = AthenaExecutor(
        2, ReadBudget(budget, 3600, time.monotonic), ended.append, pause=lambda seconds: time.sleep(seconds / 10)
    )
    try:
        yield AthenaRig(account, rig, clients, storage, executor, ended, [0.0])
    finally:
        executor.close()
        rig.close()
        cache.close()
        clients.close()
