"""The rows of the session index: each made anew of all that is known of its session."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection, delete, insert, select

from server.state.session_claims import Claim, Speaker, settled
from server.state.tables import session_claims, session_participants, sessions

CHUNK = 500
"""Keys of one statement."""

_Item = TypeVar("_Item")


def chunks(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """The items, as many at a time as one statement takes."""
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


def refresh(connection: Connection, generation: int, session_ids: Collection[str]) -> None:
    """Make the rows of these sessions anew, in the caller's transaction."""
    for chunk in chunks(sorted(session_ids)):
        _refresh(connection, generation, chunk)


def _refresh(connection: Connection, generation: int, session_ids: Sequence[str]) -> None:
    claims = _claims_of(connection, generation, session_ids)
    rows, participants = [], []
    for session_id in session_ids:
        found = settled((speaker.voice(frozenset()), claim) for speaker, claim in claims[session_id])
        if found is None:
            continue
        key = {"generation": generation, "session_id": session_id}
        rows.append(key | _row(session_id, found))
        participants += [key | {"name": name} for name in sorted(found.participants)]
    for table in (sessions, session_participants):
        of_these = (table.c.generation == generation, table.c.session_id.in_(session_ids))
        connection.execute(delete(table).where(*of_these))
    if rows:
        connection.execute(insert(sessions), rows)
    if participants:
        connection.execute(insert(session_participants), participants)


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


def _row(session_id: str, claim: Claim) -> dict[str, object]:
    kind, user, server_id, target = (
        "" if said is None else said[2] for said in (claim.kind, claim.user, claim.server_id, claim.target)
    )
    participants = sorted(claim.participants)
    return {
        "kind": kind,
        "user_name": user,
        "participants": json.dumps(participants, ensure_ascii=False),
        "server_id": server_id,
        "target": target,
        "started_ms": None if claim.started is None else claim.started[1],
        "ended_ms": claim.ended_ms,
        "begun_ms": claim.begun_ms,
        "has_recording": False,
        "has_upload": False,
        "folded": folded("\n".join([session_id, user, server_id, target, *participants])),
    }


def folded(text: str) -> str:
    """A-Z as a-z and nothing else, as searches for text have it; databases fold more, or less."""
    return text.encode().lower().decode()
