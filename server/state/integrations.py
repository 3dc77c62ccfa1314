"""Integrations, kept in the state database, and what uses them. Times are ms since 1970, identities are JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from server.state.database import writing
from server.state.external_storage_tables import external_storages, integrations, promotions
from server.state.external_storages import ConnectionTestRow, IntegrationRole, PromotionRow, StoragesChange
from server.state.outbox import add as add_to_outbox
from server.state.tables import uploads
from server.state.uploads import OPEN

Event = dict[str, object]


class IntegrationRow(NamedTuple):
    """An integration."""

    name: str
    role_arn: str
    revision: str
    created_ms: int
    updated_ms: int
    creator: str


class ClusterUse(NamedTuple):
    """The storage in force, where it is reached by the integration."""

    storage_id: str
    account_id: str
    test: ConnectionTestRow | None
    """The last connection test of it, of the integration's revision, with the role that is asked about."""


@dataclass(frozen=True, slots=True)
class Found:
    """An integration and all that uses it, as of one transaction."""

    row: IntegrationRow
    draft: bool
    """Whether the draft names it."""
    cluster: ClusterUse | None
    storages: frozenset[str]
    """Ids of the storages that are reached by it, of which the history tells: the one in force and former ones."""
    uploading: frozenset[str]
    """Those of them with open uploads."""


@dataclass(frozen=True, slots=True)
class RoleChange:
    """How an integration changes."""

    role_arn: str
    revision: str
    changed_ms: int
    changer: str
    event: Event
    test: str | None = None
    """The test that allows it, as the history keeps it, where the storage in force is reached by the integration."""
    forced: bool = False
    reason: str = ""


class SqlIntegrations:
    """The integrations on an engine of `open_database`. Safe to use from several threads.

    Every method raises StateFault when it can't be done now. A change is one transaction with its event, durable when
    its method returns; what decides it sees everything as it is then, and what it raises leaves all as it was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, row: IntegrationRow, event: Event) -> bool:
        """Add an integration; False where there is one of that name, which stays as it is."""
        with writing(self._engine).begin() as connection:
            if _row(connection, row.name) is not None:
                return False
            connection.execute(insert(integrations).values(row._asdict()))
            add_to_outbox(connection, event)
            return True

    def get(self, name: str) -> IntegrationRow | None:
        """An integration."""
        with self._engine.connect() as connection:
            return _row(connection, name)

    def page(self, after: str, limit: int) -> tuple[list[IntegrationRow], int]:
        """The first `limit` integrations whose names come after `after`, sorted by name, and how many there are."""
        statement = select(integrations).where(integrations.c.name > after).order_by(integrations.c.name).limit(limit)
        with self._engine.connect() as connection:
            rows = [IntegrationRow(**row) for row in connection.execute(statement).mappings()]
            return rows, connection.execute(select(func.count()).select_from(integrations)).scalar_one()

    def change(
        self, name: str, role_arn: str, now_ms: int, decide: Callable[[Found | None], RoleChange | None]
    ) -> IntegrationRow | None:
        """Have `decide` say how an integration changes to the role `role_arn`; None for not at all.

        Where the storage in force is reached by it, the history gets a row.

        Returns:
            The integration as it is now; None where there is none.
        """
        with writing(self._engine).begin() as connection:
            found = _found(connection, name, role_arn, now_ms)
            change = decide(found)
            if found is None:
                return None
            if change is None:
                return found.row
            changed = found.row._replace(
                role_arn=change.role_arn, revision=change.revision, updated_ms=change.changed_ms
            )
            statement = update(integrations).where(integrations.c.name == name).values(changed._asdict())
            connection.execute(statement)
            if found.cluster is not None:
                _keep_in_history(StoragesChange(connection), change)
            add_to_outbox(connection, change.event)
            return changed

    def remove(self, name: str, decide: Callable[[Found | None], Event]) -> None:
        """Have `decide` say whether an integration may go, which raises where it may not; gives what to tell of it."""
        with writing(self._engine).begin() as connection:
            event = decide(_found(connection, name))
            connection.execute(delete(integrations).where(integrations.c.name == name))
            add_to_outbox(connection, event)


def _row(connection: Connection, name: str) -> IntegrationRow | None:
    row = connection.execute(select(integrations).where(integrations.c.name == name)).mappings().one_or_none()
    return IntegrationRow(**row) if row is not None else None


def _found(connection: Connection, name: str, role_arn: str = "", now_ms: int = 0) -> Found | None:
    row = _row(connection, name)
    if row is None:
        return None
    statement = select(external_storages.c.stage).where(external_storages.c.integration == name)
    stages = frozenset(connection.execute(statement).scalars())
    role = IntegrationRole(role_arn, row.revision)
    cluster = _cluster_use(StoragesChange(connection), role, now_ms) if "cluster" in stages else None
    storages = _storages(connection, name)
    statement = select(uploads.c.storage).distinct().where(uploads.c.state == OPEN, uploads.c.storage.in_(storages))
    return Found(row, "draft" in stages, cluster, storages, frozenset(connection.execute(statement).scalars()))


def _cluster_use(storages: StoragesChange, role: IntegrationRole, now_ms: int) -> ClusterUse | None:
    cluster = storages.storage("cluster")
    if cluster is None:
        return None
    test = storages.last_test(cluster.revision, cluster.integration, role, now_ms)
    return ClusterUse(cluster.storage_id, cluster.account_id, test)


def _storages(connection: Connection, name: str) -> frozenset[str]:
    """Ids of the storages of the history whose last promotion, or change of role, was with this integration."""
    # A row about a disabled storage is of the default one, which needs no integration.
    about = promotions.c.kind != "disable"
    last = select(func.max(promotions.c.number)).where(about).group_by(promotions.c.storage_id)
    statement = select(promotions.c.storage_id).where(promotions.c.number.in_(last), promotions.c.integration == name)
    return frozenset(connection.execute(statement).scalars())


def _keep_in_history(storages: StoragesChange, change: RoleChange) -> None:
    """Add a row about the storage in force, as it is but for its role."""
    cluster = storages.storage("cluster")
    if cluster is None:
        return
    storages.add_promotion(
        PromotionRow(
            "role_change",
            change.changed_ms,
            change.changer,
            cluster.storage_id,
            cluster.spec,
            cluster.options,
            cluster.description,
            cluster.account_id,
            cluster.integration,
            change.role_arn,
            cluster.drafter,
            cluster.drafted_ms,
            change.test,
            change.forced,
            change.reason,
        )
    )
