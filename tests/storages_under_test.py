"""External audit storages over a state database, as tests set them up: an integration is there, time stands still."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
from sqlalchemy import Engine, delete, insert, update

from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.audit_log.diverting import Diverting
from server.audit_log.storages import Storages as EventStorages
from server.audit_log.tail import Tail
from server.external_storage.backlogs import Backlogs
from server.external_storage.drafts import DraftRequest, Drafts
from server.external_storage.in_turn import InTurn
from server.external_storage.plans import Plans
from server.external_storage.promotions import Promotions
from server.external_storage.regions import RegionRule
from server.external_storage.rules import Rules
from server.files import DiskFiles
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.state.external_storage_tables import integrations
from server.state.external_storages import ConnectionTestRow, SqlExternalStorages
from server.state.outbox import Outbox
from server.state.uploads import SqlUploads
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.spec import StorageOptions, StorageSpec

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/audit"
SPEC = StorageSpec(
    integration_name="production",
    region="us-west-2",
    session_recordings_uri="s3://audit-longterm/sessions",
    audit_events_long_term_uri="s3://audit-longterm/events",
    athena_results_uri="s3://audit-transient/query_results",
    athena_workgroup="audit",
    glue_database="audit",
    glue_table="events",
    policy_name="AuditPolicy",
)
REQUEST = DraftRequest(SPEC, StorageOptions())
TESTER = '{"user":"bob","caller":{"kind":"user","name":"bob","trust_anchor":"anchor","certificate_serial":"0b"}}'
NOW_MS = 1_800_000_000_000


def access(name: str = "alice") -> Access:
    """A call of a user."""
    who = Identity(IdentityKind.USER, name, frozenset({"editor"}), trust_anchor="anchor", certificate_serial="0a")
    return Access(who, "ipv4:127.0.0.1:1", "request")


def request_of(**fields: Any) -> DraftRequest:
    """The request with other values in the spec."""
    return replace(REQUEST, spec=replace(SPEC, **fields))


@dataclass
class MemorySwitch:
    """Keeps where it was told to have new data go."""

    why_not: str = ""
    fails: Exception | None = None
    went: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None

    def problem(self) -> str:
        return self.why_not

    async def to(self, storage_id: str) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        self.went.append(storage_id)


@dataclass
class Storages:
    """What is tested, and what is around it."""

    engine: Engine
    now_ms: int = NOW_MS
    regions: RegionRule = field(default_factory=RegionRule)
    switch: MemorySwitch = field(default_factory=lambda: MemorySwitch())

    @property
    def store(self) -> SqlExternalStorages:
        return SqlExternalStorages(self.engine)

    @property
    def drafts(self) -> Drafts:
        return Drafts(self.store, Rules(self.regions), lambda: self.now_ms)

    @property
    def promotions(self) -> Promotions:
        return Promotions(self.store, Rules(self.regions), self.switch, lambda: self.now_ms)

    def add_test(self, revision: str, *, passed: bool = True, age_ms: int = 60_000, **columns: str) -> str:
        """A connection test of a draft that ended; gives its id."""
        test = ConnectionTestRow(
            str(uuid.uuid4()), "draft", revision, "production", "i-1", ROLE, passed, self.now_ms - age_ms, TESTER
        )
        with self.store.changing() as change:
            change.add_test(replace(test, **columns))
        return test.id

    @property
    def plans(self) -> Plans:
        return Plans(self.store, "extaudit.example.com", lambda: self.now_ms)

    def backlogs(self, tail: Tail) -> Backlogs:
        """What diverts what waits in a tail."""
        catalogue = Catalogue(self.engine)
        default = EmbeddedStorage(DiskFiles(), Path("unused"))
        diverting = Diverting(tail, catalogue, EventStorages(default), Lock(), lambda _: None)
        return Backlogs(self.store, diverting, SqlUploads(self.engine), InTurn())

    def add_integration(self, name: str = "production", role_arn: str = ROLE, revision: str = "i-1") -> None:
        row = {
            "name": name,
            "role_arn": role_arn,
            "revision": revision,
            "created_ms": 0,
            "updated_ms": 0,
            "creator": "",
        }
        with self.engine.begin() as connection:
            connection.execute(insert(integrations).values(row))

    def change_integration(self, name: str = "production", **columns: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(integrations).where(integrations.c.name == name).values(**columns))

    def remove_integration(self, name: str = "production") -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(integrations).where(integrations.c.name == name))

    def events(self) -> list[dict[str, Any]]:
        """What waits in the outbox."""
        return [orjson.loads(each.data) for each in Outbox(self.engine).first(1000)]


@contextmanager
def storages(folder: Path) -> Iterator[Storages]:
    """Over a new state database with one integration."""
    engine = open_database(folder / "state.db")
    try:
        made = Storages(engine)
        made.add_integration()
        yield made
    finally:
        engine.dispose()
