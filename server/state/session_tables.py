"""The tables of the session index. Nothing here that PostgreSQL can't do; times are ms since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from server.state.tables import metadata

session_index = Table(
    "session_index",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("active", Integer, nullable=False),
    Column("building", Integer, nullable=False),
)
"""One row, id 1: the generation of the session index that is shown, and the one that is being built, 0 for none.

A generation is a whole index; every other table of it has the generation first in its key.
"""

session_logs = Table(
    "session_logs",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("log_id", String(20), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)
"""How far each log is followed: every event up to `sequence` is in the index, or in `session_gaps`."""

session_gaps = Table(
    "session_gaps",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("object", String(1024), primary_key=True),
    Column("note", Text, nullable=False),
)
"""One row for each stored object that couldn't be read for the index, and why."""

session_claims = Table(
    "session_claims",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("session_id", String(256), primary_key=True),
    Column("emitter", String(64), primary_key=True),
    Column("vouches", Boolean, primary_key=True),
    Column("is_component", Boolean, nullable=False),
    Column("claim", Text, nullable=False),
)
"""One row for what one emitter has said of one session; `emitter` is a digest, '' for nobody known, `claim` is JSON.

`vouches`: it was a Proxy or Auth component when it said so.
"""

session_ends = Table(
    "session_ends",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("log_id", String(20), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("session_id", String(256), nullable=False),
    Column("emitter", String(64), nullable=False),
    Column("vouches", Boolean, nullable=False),
    Column("event", Text, nullable=False),
    Index("session_ends_by_session", "generation", "session_id"),
)
"""One row for each event of ours that ends a session, with its JSON; emitter and `vouches` as in `session_claims`. Once
an emitter has more for a session than are looked at, '' in the place of the next one, and no row for those after it."""

sessions = Table(
    "sessions",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("session_id", String(256), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("user_name", String(512), nullable=False),
    Column("participants", Text, nullable=False),
    Column("server_id", String(512), nullable=False),
    Column("target", String(512), nullable=False),
    Column("started_ms", BigInteger, nullable=True),
    Column("ended_ms", BigInteger, nullable=True),
    Column("begun_ms", BigInteger, nullable=False),
    Column("has_recording", Boolean, nullable=False),
    Column("has_upload", Boolean, nullable=False),
    Column("folded", Text, nullable=False),
    Index("sessions_by_time", "generation", "begun_ms", "session_id"),
    Index("sessions_by_kind", "generation", "kind", "begun_ms", "session_id"),
    Index("sessions_by_user", "generation", "user_name", "begun_ms", "session_id"),
    Index("sessions_by_server", "generation", "server_id", "begun_ms", "session_id"),
)
"""One row for each session, made of the claims on it and of its uploads, and made anew when one of these changes.

`participants` is a JSON list, sorted; `folded` is all that a search for text looks at, with A-Z as a-z; `begun_ms`
gives the order: the start, else the end, else the first that was heard of it.
"""

session_participants = Table(
    "session_participants",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("name", String(512), primary_key=True),
    Column("session_id", String(256), primary_key=True),
    Column("shown", Boolean, nullable=False),
    Index("session_participants_by_session", "generation", "session_id"),
)
"""One row for each participant of each session; with `shown` false for one that only claims name that don't count, and
with name '' where a claim names more than are kept."""

SESSION_TABLES = (session_logs, session_gaps, session_claims, session_ends, sessions, session_participants)
"""All tables that have a generation."""
