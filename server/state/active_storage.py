"""Which storage the state says is active, and which one was when."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Engine, select

from server.state.external_storage_tables import external_storages, integrations, promotions


def active_storage(engine: Engine) -> str:
    """The id of the storage that takes new events: the one in force, or `default` where none is.

    Raises:
        StateFault: the database can't be read.
    """
    cluster = select(external_storages.c.storage_id).where(external_storages.c.stage == "cluster")
    with engine.connect() as connection:
        found: str | None = connection.execute(cluster).scalar()
    return found or "default"


def storage_to_come(engine: Engine, active: str) -> str:
    """The storage that is to take new events where `active` still does; '' where that is the one.

    Raises:
        StateFault: the database can't be read.
    """
    named = active_storage(engine)
    return named if named != active else ""


class PlacedStorage(NamedTuple):
    """Where an external storage is, as it was last in force. Spec and options are JSON."""

    spec: str
    options: str
    account_id: str
    integration: str
    role_arn: str
    """That of the integration as it is now; '' where there is none any more: what was deleted is assumed no more."""


def placed_storages(engine: Engine) -> dict[str, PlacedStorage]:
    """Every external storage that is or was in force, by id.

    Raises:
        StateFault: the database can't be read.
    """
    found: dict[str, PlacedStorage] = {}
    with engine.connect() as connection:
        roles = {row.name: row.role_arn for row in connection.execute(select(integrations))}
        for row in connection.execute(select(promotions).order_by(promotions.c.number)):
            role_arn = roles.get(row.integration, "")
            found[row.storage_id] = PlacedStorage(row.spec, row.options, row.account_id, row.integration, role_arn)
        for row in connection.execute(select(external_storages).where(external_storages.c.stage == "cluster")):
            role_arn = roles.get(row.integration, "")
            found[row.storage_id] = PlacedStorage(row.spec, row.options, row.account_id, row.integration, role_arn)
    found.pop("default", None)
    return found


def active_periods(engine: Engine) -> list[tuple[int, str]]:
    """Every change of where new events go, in order: since when, in ms since 1970, and the storage's id.

    Raises:
        StateFault: the database can't be read.
    """
    changes = select(promotions.c.promoted_ms, promotions.c.storage_id).order_by(promotions.c.number)
    with engine.connect() as connection:
        rows = [(row.promoted_ms, row.storage_id) for row in connection.execute(changes)]
    befores = ["default", *(storage for _, storage in rows)]
    return [row for row, before in zip(rows, befores, strict=False) if row[1] != before]
