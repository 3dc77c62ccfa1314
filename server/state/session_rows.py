"""The rows of the session index: each made anew of all that is known of its session."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection, delete, insert, select

from server.state.session_claims import MAX_NAMES, Claim, Speaker, settled
from server.state.session_tables import session_claims, session_index, session_participants, sessions
from server.state.tables import uploads

CHUNK = 500
"""Keys of one statement."""

_COMPLETED = "completed"
COMPLETE = frozenset({_COMPLETED, "kept_aside"})
"""States of uploads whose recordings are complete: the conditions on each are asked of who uploaded it."""
UNFINISHED = frozenset({"open", "aborted"})
"""States of uploads that aren't complete, and are listed with their session."""
_Item = TypeVar("_Item")


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The items, as many at a time as one statement takes."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


class _Uploads(NamedTuple):
    """What uploads there are of one session."""

    uploader: str | None = None
    """Of its recording, as `identity_digest` has it. Who keeps something aside tells nothing of the session."""
    has_recording: bool = False
    has_upload: bool = False
    """There is one that is open or aborted."""
    begun_ms: int | None = None
    """When the first one was begun."""


_NO_UPLOADS = _Uploads()


def refresh(connection: Connection, generation: int, session_ids: Collection[str]) -> None:
    """Make the rows of these sessions anew, in the caller's transaction."""
    for chunk in chunks(sorted(session_ids)):
        _refresh(connection, generation, chunk)


def refresh_everywhere(connection: Connection, session_ids: Collection[str]) -> None:
    """Make the rows of sessions whose uploads have changed anew, in the caller's transaction."""
    for generation in connection.execute(select(session_index.c.active, session_index.c.building)).one():
        if generation:
            refresh(connection, generation, session_ids)


def refresh_uploaded(connection: Connection, generation: int) -> None:
    """Make the rows of all sessions that have uploads anew, in the caller's transaction."""
    refresh(connection, generation, connection.execute(select(uploads.c.session_id).distinct()).scalars().all())


def _refresh(connection: Connection, generation: int, session_ids: Sequence[str]) -> None:
    claims = _claims_of(connection, generation, session_ids)
    uploads_of = _uploads_of(connection, session_ids)
    rows, participants = [], []
    for session_id in session_ids:
        kept = uploads_of.get(session_id, _NO_UPLOADS)
        found = settled((speaker.voice(kept.uploader), claim) for speaker, claim in claims[session_id])
        if found is None and kept.begun_ms is not None:
            found = Claim(kept.begun_ms)
        if found is None:
            continue
        key = {"generation": generation, "session_id": session_id}
        rows.append(key | _row(session_id, found, kept))
        participants += [key | row for row in _participants(found, [claim for _, claim in claims[session_id]])]
    for table in (sessions, session_participants):
        of_these = (table.c.generation == generation, table.c.session_id.in_(session_ids))
        connection.execute(delete(table).where(*of_these))
    if rows:
        connection.execute(insert(sessions), rows)
    if participants:
        connection.execute(insert(session_participants), participants)


def _uploads_of(connection: Connection, session_ids: Sequence[str]) -> dict[str, _Uploads]:
    table = uploads
    columns = (table.c.session_id, table.c.state, table.c.owner_key, table.c.begun_ms)
    found: dict[str, list[tuple[str, str, int]]] = {}
    for session_id, *upload in connection.execute(select(*columns).where(table.c.session_id.in_(session_ids))):
        found.setdefault(session_id, []).append((upload[0], upload[1], upload[2]))
    return {session_id: _summed(of_one) for session_id, of_one in found.items()}


def _summed(of_one: Sequence[tuple[str, str, int]]) -> _Uploads:
    """What there is, from state, owner and begin of each upload."""
    states = {state for state, _, _ in of_one}
    return _Uploads(
        next((owner for state, owner, _ in of_one if state == _COMPLETED), None),
        _COMPLETED in states,
        not UNFINISHED.isdisjoint(states),
        min(begun_ms for _, _, begun_ms in of_one),
    )


def _claims_of(
    connection: Connection, generation: int, session_ids: Sequence[str]
) -> defaultdict[str, list[tuple[Speaker, Claim]]]:
    table = session_claims
    found = defaultdict[str, list[tuple[Speaker, Claim]]](list)
    statement = select(table).where(table.c.generation == generation, table.c.session_id.in_(session_ids))
    for row in connection.execute(statement):
        speaker = Speaker(row.emitter, row.is_component, row.vouches)
        found[row.session_id].append((speaker, Claim.decode(row.claim)))
    return found


def _participants(shown: Claim, claims: Sequence[Claim]) -> list[dict[str, object]]:
    """Everyone who is named at all, and '' where more names were than are kept."""
    names = frozenset[str]().union(*(claim.participants for claim in claims))
    if any(len(claim.participants) >= MAX_NAMES for claim in claims):
        names |= {""}
    return [{"name": name, "shown": name in shown.participants} for name in names]


def _row(session_id: str, claim: Claim, kept: _Uploads) -> dict[str, object]:
    kind, user, server_id, target = (
        "" if said is None else said[2] for said in (claim.kind, claim.user, claim.server_id, claim.target)
    )
    participants = sorted(claim.participants)
    return {
        "kind": kind,
        "user_name": user,
        "participants": orjson.dumps(participants).decode(),
        "server_id": server_id,
        "target": target,
        "started_ms": None if claim.started is None else claim.started[1],
        "ended_ms": claim.ended_ms,
        "begun_ms": claim.begun_ms,
        "has_recording": kept.has_recording,
        "has_upload": kept.has_upload,
        "folded": folded("\n".join([session_id, user, server_id, target, *participants])),
    }


def folded(text: str) -> str:
    """A-Z as a-z and nothing else, as searches for text have it; databases fold more, or less."""
    return text.encode().lower().decode()
