"""The session index, as it is written: what events say of sessions, how far each log is followed, and generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update

from server.state.database import writing
from server.state.session_claims import Claim, Speaker
from server.state.session_ends import SessionEnd, add_ends
from server.state.session_rows import chunks, refresh, refresh_uploaded
from server.state.session_tables import (
    SESSION_TABLES,
    session_claims,
    session_gaps,
    session_index,
    session_logs,
    sessions,
)

_SWEPT = 5_000
"""Sessions of an older generation that one transaction deletes; others wait for it."""


@dataclass(slots=True)
class Told:
    """What some events say, to be added to the index."""

    claims: dict[tuple[str, Speaker], Claim] = field(default_factory=dict)
    """By session id and who says it."""
    ends: list[SessionEnd] = field(default_factory=list)

    def add(self, session_id: str, speaker: Speaker, claim: Claim) -> None:
        """Add a claim to what its speaker has said of the session."""
        before = self.claims.get((session_id, speaker))
        self.claims[session_id, speaker] = claim if before is None else before.merged(claim)


class Generations(NamedTuple):
    """The index that is shown, and the one that is being built; 0 for none."""

    active: int
    building: int


class SqlSessionIndex:
    """The session index on an engine of `open_database`. Safe to use from several threads.

    Everything raises StateFault when the database can't do it; then nothing of it is done.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def generations(self) -> Generations:
        """Which there are."""
        with self._engine.connect() as connection:
            return _generations(connection)

    def logs(self, generation: int) -> dict[str, int]:
        """How far each log is followed: log_id to sequence."""
        statement = select(session_logs.c.log_id, session_logs.c.sequence).where(
            session_logs.c.generation == generation
        )
        with self._engine.connect() as connection:
            return {row.log_id: row.sequence for row in connection.execute(statement)}

    def gaps(self, generation: int) -> dict[str, str]:
        """The stored objects that couldn't be read, and why."""
        statement = select(session_gaps.c.object, session_gaps.c.note).where(session_gaps.c.generation == generation)
        with self._engine.connect() as connection:
            return {row.object: row.note for row in connection.execute(statement)}

    def count(self, generation: int) -> int:
        """How many sessions there are."""
        statement = select(func.count()).select_from(sessions).where(sessions.c.generation == generation)
        with self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    def add(self, generation: int, told: Told, logs: Mapping[str, int], gaps: Mapping[str, str] | None = None) -> None:
        """Add what events say and how far the logs are followed then, durably and together.

        What was added before changes nothing.
        """
        with writing(self._engine).begin() as connection:
            if told.claims:
                _merge(connection, generation, told.claims)
                refresh(connection, generation, {session_id for session_id, _ in told.claims})
            add_ends(connection, generation, told.ends)
            for log_id, sequence in logs.items():
                _put(connection, session_logs, generation, "log_id", log_id, {"sequence": sequence})
            for name, note in (gaps or {}).items():
                _put(connection, session_gaps, generation, "object", name, {"note": note})

    def begin_building(self) -> int:
        """Begin a new generation, or go on with the one that was begun; gives its number."""
        with writing(self._engine).begin() as connection:
            active, building = _generations(connection)
            if not building:
                building = active + 1
                connection.execute(update(session_index).values(building=building))
            return building

    def add_uploaded(self, generation: int) -> None:
        """Add the sessions that have uploads; from then on changes of uploads are followed."""
        with writing(self._engine).begin() as connection:
            refresh_uploaded(connection, generation)

    def show(self, generation: int) -> None:
        """Show the generation that was built, from now on."""
        with writing(self._engine).begin() as connection:
            connection.execute(update(session_index).values(active=generation, building=0))

    def sweep(self) -> None:
        """Delete what belongs to older generations than the one that is shown."""
        for table in SESSION_TABLES:
            while self._sweep_some(table):
                pass

    def _sweep_some(self, table: Table) -> bool:
        """Delete a part of it, so that others wait for it only shortly; gives whether there may be more."""
        generation, session_id = table.c.generation, table.c.get("session_id")
        with writing(self._engine).begin() as connection:
            older = select(func.min(generation)).where(generation < _generations(connection).active)
            oldest = connection.execute(older).scalar_one()
            if oldest is None:
                return False
            if session_id is None:
                connection.execute(delete(table).where(generation == oldest))
                return True
            some = select(session_id).where(generation == oldest).distinct().limit(_SWEPT)
            for ids in chunks(connection.execute(some).scalars().all()):
                connection.execute(delete(table).where(generation == oldest, session_id.in_(ids)))
            return True


def _merge(connection: Connection, generation: int, claims: Mapping[tuple[str, Speaker], Claim]) -> None:
    """Add claims to what the same speakers have said before."""
    table = session_claims
    for chunk in chunks(sorted({session_id for session_id, _ in claims})):
        of_these = (table.c.generation == generation, table.c.session_id.in_(chunk))
        known = {
            (row.session_id, Speaker(row.emitter, row.is_component, row.vouches)): row.claim
            for row in connection.execute(select(table).where(*of_these))
        }
        asked = set(chunk)
        merged = {
            key: claim.merged(Claim.decode(known[key])) if key in known else claim
            for key, claim in claims.items()
            if key[0] in asked
        }
        for session_id, speaker in merged.keys() & known.keys():
            same = (table.c.session_id == session_id, table.c.emitter == speaker.emitter)
            connection.execute(
                delete(table).where(table.c.generation == generation, *same, table.c.vouches == speaker.vouches)
            )
        connection.execute(insert(table), [_claim_row(generation, *key, claim) for key, claim in merged.items()])


def _claim_row(generation: int, session_id: str, speaker: Speaker, claim: Claim) -> dict[str, object]:
    return {"generation": generation, "session_id": session_id, **speaker._asdict(), "claim": claim.encode()}


def _put(
    connection: Connection, table: Table, generation: int, key: str, value: str, rest: Mapping[str, object]
) -> None:
    """Add a row, or put it in the place of the one that has its key."""
    connection.execute(delete(table).where(table.c.generation == generation, table.c[key] == value))
    connection.execute(insert(table).values(generation=generation, **{key: value}, **rest))


def _generations(connection: Connection) -> Generations:
    return Generations(*connection.execute(select(session_index.c.active, session_index.c.building)).one())
