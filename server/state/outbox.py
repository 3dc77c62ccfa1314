"""The outbox: events of the service itself that wait for the journal, committed together with what they tell of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import Connection, Engine, delete, func, insert, select

from server.service_events import encoded
from server.state.database import writing
from server.state.tables import outbox as table


class WaitingEvent(NamedTuple):
    """One event in the outbox."""

    number: int
    data: bytes
    """JSON; its uid makes it a repeated event where it has reached the journal before."""
    storage: str
    """The storage that it belongs to; '' for whichever is active."""


def add(connection: Connection, event: Mapping[str, object], storage: str = "") -> None:
    """Add an event in the caller's transaction: it is there exactly if the change is.

    `event` holds the type, one of server.service_events, as `event`, and whatever belongs to it; code, time and uid are
    added. The running server brings it to the journal within a second, in the order of adding: to what is active then,
    or to `storage`, which the same transaction takes out of force or brings into it.
    """
    connection.execute(insert(table).values(event=encoded(event).decode(), storage=storage))


class Outbox:
    """The waiting events. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, event: Mapping[str, object]) -> None:
        """Add an event in a transaction of its own, for what happened without a change of the state."""
        self.put(encoded(event))

    def put(self, data: bytes) -> None:
        """Add an event that is encoded already, in a transaction of its own."""
        with writing(self._engine).begin() as connection:
            connection.execute(insert(table).values(event=data.decode()))

    def first(self, limit: int) -> list[WaitingEvent]:
        """The first `limit` events, in the order of adding."""
        statement = select(table.c.number, table.c.event, table.c.storage).order_by(table.c.number).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(statement)
            return [WaitingEvent(number, text.encode(), storage) for number, text, storage in rows]

    def remove(self, numbers: Collection[int]) -> None:
        """Forget events that are durable in the journal."""
        if numbers:
            with writing(self._engine).begin() as connection:
                connection.execute(delete(table).where(table.c.number.in_(numbers)))

    def __len__(self) -> int:
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()
