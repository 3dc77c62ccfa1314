"""The session index, as it is read: rows by filters, newest first, and the ends that conditions are decided from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson
from sqlalchemy import ColumnElement, Engine, Row, and_, false, or_, select

from server.state.session_claims import Claim, Speaker, bounded
from server.state.session_ends import CountingEnd, counting_ends
from server.state.session_rows import UNFINISHED, chunks, folded
from server.state.session_tables import session_claims, session_ends, session_participants, sessions
from server.state.tables import uploads


class SessionPosition(NamedTuple):
    """A place in the order of sessions, which goes down."""

    begun_ms: int
    session_id: str


@dataclass(frozen=True, slots=True)
class SessionFilters:
    """What a session must be like; every member must hold, an empty one always does. Times are ms since 1970."""

    from_ms: int | None = None
    to_ms: int | None = None
    kinds: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    participant: str = ""
    server_id: str = ""
    active_at_ms: int | None = None
    has_recording: bool | None = None
    has_upload: bool | None = None
    text: str = ""
    session_id: str = ""
    has_end: bool = False
    """Some event of ours ended it: without one no condition on it can hold."""
    named: frozenset[str] | None = None
    """Somebody says that one of these took part, or names too many to know; None asks for nothing."""

    @property
    def tell(self) -> bool:
        """Whether being found tells anything of a session beyond its id."""
        return replace(self, session_id="", has_end=False, named=None) != SessionFilters()


class SessionRow(NamedTuple):
    """What the index shows of a session."""

    session_id: str
    kind: str
    user: str
    participants: tuple[str, ...]
    server_id: str
    target: str
    started_ms: int | None
    ended_ms: int | None
    begun_ms: int

    @property
    def position(self) -> SessionPosition:
        """Its place in the order."""
        return SessionPosition(self.begun_ms, self.session_id)


class SqlSessionPages:
    """Reads the index on an engine of `open_database`. Safe to use from several threads.

    Everything raises StateFault when the database can't do it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rows(
        self, generation: int, filters: SessionFilters, after: SessionPosition | None, limit: int
    ) -> list[SessionRow]:
        """At most so many sessions that pass the filters, beyond a position."""
        table = sessions
        statement = select(table).where(table.c.generation == generation, *_conditions(generation, filters))
        if after is not None:
            statement = statement.where(_beyond(after))
        statement = statement.order_by(table.c.begun_ms.desc(), table.c.session_id.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_session_row(row) for row in connection.execute(statement)]

    def ends(self, generation: int, session_ids: Collection[str]) -> Iterator[CountingEnd]:
        """The events of ours that ended these sessions and that can count, each read as it is asked for."""
        with self._engine.connect() as connection:
            for chunk in chunks(list(session_ids)):
                yield from counting_ends(connection, generation, chunk)

    def claims(self, generation: int, session_id: str) -> list[tuple[Speaker, Claim]]:
        """What everyone has said of a session."""
        table = session_claims
        statement = select(table).where(table.c.generation == generation, table.c.session_id == session_id)
        with self._engine.connect() as connection:
            return [
                (Speaker(row.emitter, row.is_component, row.vouches), Claim.decode(row.claim))
                for row in connection.execute(statement)
            ]


def _beyond(after: SessionPosition) -> ColumnElement[bool]:
    begun, session_id = sessions.c.begun_ms, sessions.c.session_id
    # Expanded, as databases use an index for this form and not for tuples.
    return and_(begun <= after.begun_ms, or_(begun < after.begun_ms, session_id < after.session_id))


def _conditions(generation: int, filters: SessionFilters) -> list[ColumnElement[bool]]:
    column = sessions.c
    found: list[ColumnElement[bool]] = [
        wanted
        for asked, wanted in (
            (filters.session_id, column.session_id == filters.session_id),
            (filters.server_id, column.server_id == bounded(filters.server_id)),
            (filters.kinds, column.kind.in_(sorted(filters.kinds))),
            (filters.users, column.user_name.in_(sorted(map(bounded, filters.users)))),
            (filters.text, column.folded.contains(folded(filters.text), autoescape=True)),
            ("\0" in filters.text, false()),  # nothing has one, and LIKE would take it for the pattern's end
        )
        if asked
    ]
    if filters.has_recording is not None:
        found.append(column.has_recording == filters.has_recording)
    if filters.has_upload:
        # There are few of them, and an index that finds them.
        found.append(column.session_id.in_(select(uploads.c.session_id).where(uploads.c.state.in_(sorted(UNFINISHED)))))
    elif filters.has_upload is False:
        found.append(column.has_upload.is_(False))
    people = session_participants
    if filters.participant:
        theirs = people.c.shown & (people.c.generation == generation) & (people.c.name == bounded(filters.participant))
        found.append(column.session_id.in_(select(people.c.session_id).where(theirs)))
    if filters.named is not None:
        names = {"", *map(bounded, filters.named)}
        theirs = (people.c.generation == generation) & people.c.name.in_(sorted(names))
        found.append(column.session_id.in_(select(people.c.session_id).where(theirs)))
    if filters.has_end:
        table = session_ends
        same = (table.c.generation == generation, table.c.session_id == column.session_id)
        found.append(select(table.c.session_id).where(*same).exists())
    return [*found, *_times(filters)]


def _times(filters: SessionFilters) -> list[ColumnElement[bool]]:
    begun, ended = sessions.c.begun_ms, sessions.c.ended_ms
    found: list[ColumnElement[bool]] = []
    if filters.from_ms is not None:
        found.append(or_(ended.is_(None), ended >= filters.from_ms))
    if filters.to_ms is not None:
        found.append(begun < filters.to_ms)
    if filters.active_at_ms is not None:
        found += [begun <= filters.active_at_ms, or_(ended.is_(None), ended >= filters.active_at_ms)]
    return found


def _session_row(row: Row[tuple[object, ...]]) -> SessionRow:
    return SessionRow(
        row.session_id,
        row.kind,
        row.user_name,
        tuple(orjson.loads(row.participants)),
        row.server_id,
        row.target,
        row.started_ms,
        row.ended_ms,
        row.begun_ms,
    )
