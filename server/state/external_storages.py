"""External audit storages, their tests and their history, kept in the state database. Times are ms since 1970.

Everything that belongs together is read and written in one transaction, the events that tell of it included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select

from server.state.database import writing
from server.state.external_storage_tables import connection_tests, external_storages, integrations, promotions
from server.state.outbox import add as add_to_outbox


@dataclass(frozen=True, slots=True)
class StorageRow:
    """A draft, or the storage in force. `stage` is a value of external_storage.Stage; spec and options are JSON."""

    stage: str
    spec: str
    options: str
    description: str
    revision: str
    storage_id: str
    account_id: str
    integration: str
    drafter: str
    drafted_ms: int
    promoter: str = ""
    promoted_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectionTestRow:
    """A connection test that ended."""

    id: str
    stage: str
    storage_revision: str
    integration: str
    integration_revision: str
    role_arn: str
    passed: bool
    tested_ms: int
    tester: str


@dataclass(frozen=True, slots=True)
class PromotionRow:
    """A row of the history. `kind` is a value of external_storage.PromotionKind; `test` is JSON of a test."""

    kind: str
    promoted_ms: int
    promoter: str
    storage_id: str
    spec: str
    options: str
    description: str
    account_id: str
    integration: str
    role_arn: str
    drafter: str
    drafted_ms: int | None
    test: str | None
    forced: bool
    reason: str


class IntegrationRole(NamedTuple):
    """What a storage rests on in its integration."""

    role_arn: str
    revision: str


class StoragesView:
    """What is there, as of one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def storage(self, stage: str) -> StorageRow | None:
        """The draft, or the storage in force."""
        statement = select(external_storages).where(external_storages.c.stage == stage)
        row = self._connection.execute(statement).mappings().one_or_none()
        return StorageRow(**row) if row is not None else None

    def integration(self, name: str) -> IntegrationRole | None:
        """An integration's role and revision."""
        statement = select(integrations.c.role_arn, integrations.c.revision).where(integrations.c.name == name)
        row = self._connection.execute(statement).one_or_none()
        return IntegrationRole(*row) if row is not None else None

    def last_test(
        self, storage_revision: str, integration: str, role: IntegrationRole, now_ms: int
    ) -> ConnectionTestRow | None:
        """The test of exactly this revision with exactly this integration and role that ended last, none of the
        future."""
        table = connection_tests
        statement = (
            select(*[column for column in table.c if column is not table.c.number])
            .where(
                table.c.storage_revision == storage_revision,
                table.c.integration == integration,
                table.c.integration_revision == role.revision,
                table.c.role_arn == role.role_arn,
                table.c.tested_ms <= now_ms,
            )
            .order_by(table.c.number.desc())
            .limit(1)
        )
        row = self._connection.execute(statement).mappings().one_or_none()
        return ConnectionTestRow(**row) if row is not None else None

    def specs(self) -> list[str]:
        """The specs, as JSON, of every storage that is or was in force."""
        past = select(promotions.c.spec)
        present = select(external_storages.c.spec).where(external_storages.c.stage == "cluster")
        return list(self._connection.scalars(past.union(present)))

    def promotions(self, before: int | None, limit: int) -> list[tuple[int, PromotionRow]]:
        """Rows of the history with their numbers, newest first, those below `before` alone."""
        statement = select(promotions).order_by(promotions.c.number.desc()).limit(limit)
        if before is not None:
            statement = statement.where(promotions.c.number < before)
        return [_promotion(row) for row in self._connection.execute(statement).mappings()]


class StoragesChange(StoragesView):
    """A transaction that changes what is there; all of it is durable when it ended well, and nothing else ever."""

    def put(self, row: StorageRow) -> None:
        """Put a draft or the storage in force in the place of the one that is there, if any."""
        self.remove(row.stage)
        self._connection.execute(insert(external_storages).values(asdict(row)))

    def remove(self, stage: str) -> None:
        """Remove a draft or the storage in force, if there is one."""
        self._connection.execute(delete(external_storages).where(external_storages.c.stage == stage))

    def add_test(self, row: ConnectionTestRow) -> None:
        """Add a connection test that ended."""
        self._connection.execute(insert(connection_tests).values(asdict(row)))

    def add_promotion(self, row: PromotionRow) -> None:
        """Add a row to the history."""
        self._connection.execute(insert(promotions).values(asdict(row)))

    def tell(self, event: Mapping[str, object], storage: str = "") -> None:
        """Add an event to the outbox, for `storage` if it names one."""
        add_to_outbox(self._connection, event, storage)


class SqlExternalStorages:
    """External audit storages on an engine of `open_database`. Safe to use from several threads and processes.

    Both methods raise StateFault when it can't be done now.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def reading(self) -> Iterator[StoragesView]:
        """Look at what is there."""
        with self._engine.begin() as connection:
            yield StoragesView(connection)

    @contextmanager
    def changing(self) -> Iterator[StoragesChange]:
        """Change what is there; whoever else changes it waits. What is raised inside undoes all of it."""
        with writing(self._engine).begin() as connection:
            yield StoragesChange(connection)


def _promotion(row: RowMapping) -> tuple[int, PromotionRow]:
    fields = dict(row)
    number = fields.pop("number")
    return number, PromotionRow(**fields)
