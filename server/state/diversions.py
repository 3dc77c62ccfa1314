"""Diverted batches: those that an administrator took out of a storage in which they weren't confirmed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Engine, insert, select

from server.state import outbox
from server.state.database import writing
from server.state.tables import diverted_batches


@dataclass(frozen=True, slots=True)
class Diversion:
    """The tombstone of one batch: its sequences first..last belong to `to`, whatever is found of them in `storage`."""

    log_id: str
    first: int
    last: int
    storage: str
    to: str
    first_ms: int
    """The earliest time of its events, in ms since 1970, as `last_ms` is the latest."""
    last_ms: int


class Diversions:
    """All diverted batches, in memory as in the state. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        with engine.connect() as connection:
            rows = connection.execute(select(diverted_batches)).mappings()
            self._known = {(row["log_id"], row["first"]): Diversion(**row) for row in rows}

    def add(self, diversions: Sequence[Diversion], event: Mapping[str, object]) -> None:
        """Add batches that are diverted now, and the event that tells of it: durable, both or neither.

        Raises:
            StateFault: it can't be written.
        """
        with self._lock:
            with writing(self._engine).begin() as connection:
                connection.execute(insert(diverted_batches), [asdict(each) for each in diversions])
                outbox.add(connection, event)
            self._index(diversions)

    def restore(self, diversion: Diversion) -> None:
        """Add what the record of a diverted batch says and the state has lost, durably."""
        with self._lock:
            if (diversion.log_id, diversion.first) not in self._known:
                with writing(self._engine).begin() as connection:
                    connection.execute(insert(diverted_batches).values(asdict(diversion)))
                self._index([diversion])

    def of(self, log_id: str, first: int) -> Diversion | None:
        """The diversion of the batch that begins with this sequence; None where it stays where it was."""
        return self._known.get((log_id, first))

    def has_left(self, storage: str, log_id: str, first: int, last: int) -> bool:
        """Whether sequences first..last of a log are one batch, and that was diverted from this storage."""
        diversion = self.of(log_id, first)
        return diversion is not None and (diversion.storage, diversion.last) == (storage, last)

    def is_left(self, storage: str, log_id: str, first: int, last: int) -> bool:
        """Whether sequences first..last of a log have to do with a batch that was diverted from this storage."""
        return any(
            each.storage == storage and each.log_id == log_id and each.first <= last and first <= each.last
            for each in self.all()
        )

    def all(self) -> tuple[Diversion, ...]:
        """Every one, in the order in which they came."""
        return tuple(self._known.values())

    def _index(self, diversions: Iterable[Diversion]) -> None:
        self._known = {**self._known, **{(each.log_id, each.first): each for each in diversions}}
