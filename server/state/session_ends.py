"""The ends of sessions that conditions are decided from, as they are kept and read: of each emitter with a bound.

Anybody who may create events can emit any number of ends of a session, each of any size. Of an emitter who has emitted
more for a session than MOST_OF_ENDS, what counts is that alone, in whatever order they came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, func, insert, select, tuple_

from server.state.session_claims import Speaker
from server.state.session_rows import COMPLETE, chunks
from server.state.session_tables import session_ends
from server.state.tables import uploads

MOST_OF_ENDS: Final = 256 * 1024
"""Characters of one emitter's ends of one session that are looked at."""
_BEYOND: Final = ""
"""Kept in the place of the end with which there are more; of those after it, nothing is."""

_Key = tuple[str, str, bool]
"""Session, emitter, and whether it vouches."""


class SessionEnd(NamedTuple):
    """An event that ended a session, and as much of its receipt as decides whether it counts."""

    log_id: str
    sequence: int
    session_id: str
    speaker: Speaker
    event: bytes
    """Its JSON."""


class CountingEnd(NamedTuple):
    """What an event of ours says that ended a session, of one who counts for it."""

    session_id: str
    emitter: str
    """As `identity_digest` has it."""
    vouches: bool
    """Whether it is a Proxy or Auth component by its receipt; else it uploaded a complete recording of the session."""
    event: bytes | None
    """Its JSON; None once for all ends of an emitter that has more of them than are looked at."""


def add_ends(connection: Connection, generation: int, ends: Sequence[SessionEnd]) -> None:
    """Add ends, in the caller's transaction; those that were added before change nothing."""
    table = session_ends
    # In the order of the log, so that what is known already is looked for in narrow ranges.
    for chunk in chunks(sorted(ends, key=lambda end: (end.log_id, end.sequence))):
        known: set[tuple[str, int]] = set()
        for log_id, of_log in groupby(chunk, key=lambda end: end.log_id):
            sequences = [end.sequence for end in of_log]
            among = table.c.sequence.between(sequences[0], sequences[-1])
            same = (table.c.generation == generation, table.c.log_id == log_id, among)
            found = connection.execute(select(table.c.sequence).where(*same)).scalars()
            known.update((log_id, sequence) for sequence in found)
        new = {(end.log_id, end.sequence): end for end in chunk if (end.log_id, end.sequence) not in known}
        if new and (rows := list(_rows(connection, generation, new.values()))):
            connection.execute(insert(table), rows)


def _rows(connection: Connection, generation: int, ends: Collection[SessionEnd]) -> Iterator[dict[str, object]]:
    """What is kept of ends that aren't yet."""
    column = session_ends.c
    session_ids = {end.session_id for end in ends}
    sizes = _sizes(connection, (column.generation == generation, column.session_id.in_(session_ids)))
    for end in ends:
        key = end.session_id, end.speaker.emitter, end.speaker.vouches
        if sizes[key] > MOST_OF_ENDS:
            continue
        event = end.event.decode()
        sizes[key] += len(event)
        yield {
            "generation": generation,
            "log_id": end.log_id,
            "sequence": end.sequence,
            "session_id": end.session_id,
            "emitter": end.speaker.emitter,
            "vouches": end.speaker.vouches,
            "event": event if sizes[key] <= MOST_OF_ENDS else _BEYOND,
        }


def counting_ends(connection: Connection, generation: int, session_ids: Collection[str]) -> Iterator[CountingEnd]:
    """The ends of these sessions, at most CHUNK of them, that can count; each is read as it is asked for."""
    table = session_ends
    emitters = (table.c.session_id, table.c.emitter, table.c.vouches)
    uploaded = (uploads.c.session_id == table.c.session_id, uploads.c.state.in_(sorted(COMPLETE)))
    counting = (
        table.c.generation == generation,
        table.c.session_id.in_(session_ids),
        table.c.vouches | select(uploads.c.key).where(*uploaded, uploads.c.owner_key == table.c.emitter).exists(),
    )
    too_large = [key for key, size in _sizes(connection, counting).items() if size > MOST_OF_ENDS]
    yield from (CountingEnd(*key, event=None) for key in too_large)
    statement = select(*emitters, table.c.event).where(*counting)
    if too_large:
        statement = statement.where(tuple_(*emitters).not_in(too_large))
    for session_id, emitter, vouches, event in connection.execute(statement):
        yield CountingEnd(session_id, emitter, vouches, event.encode())


def _sizes(connection: Connection, wanted: Iterable[ColumnElement[bool]]) -> defaultdict[_Key, int]:
    """How many characters of ends each emitter has, or some number beyond MOST_OF_ENDS."""
    column = session_ends.c
    statement = select(column.session_id, column.emitter, column.vouches, func.length(column.event)).where(*wanted)
    found = defaultdict[_Key, int](int)
    # Summed here: to group rows, the database would sort them, each with its whole event.
    for session_id, emitter, vouches, size in connection.execute(statement):
        found[session_id, emitter, vouches] += size or MOST_OF_ENDS + 1
    return found
