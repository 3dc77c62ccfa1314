"""The tables of the state database. Nothing here that PostgreSQL can't do; times are ms since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, text

metadata = MetaData()

schema_version = Table(
    "schema_version",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)
"""One row, id 1: how many of the migrations this database has seen."""

issued_certificates = Table(
    "issued_certificates",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("name", String(512), nullable=False, index=True),
    Column("roles", Text, nullable=False),
    Column("not_before_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
)
"""One row for each certificate that the local CAs signed for a caller; `roles` is a JSON list of strings."""

catalogue_batches = Table(
    "catalogue_batches",
    metadata,
    Column("storage", String(128), primary_key=True),
    Column("log_id", String(20), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("record_digest", String(64), nullable=False),
    Column("confirmed_ms", BigInteger, nullable=False),
)
"""One row for each confirmed batch of ours; rebuildable from the batch records in the storage."""

catalogue_objects = Table(
    "catalogue_objects",
    metadata,
    Column("revision", Integer, primary_key=True, autoincrement=True),
    Column("storage", String(128), nullable=False),
    Column("name", String(1024), nullable=False),
    Column("date", String(10), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("types", Text, nullable=True),
    Column("sha256", String(64), nullable=False),
    Column("log_id", String(20), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("foreign_note", Text, nullable=True),
    Column("is_foreign", Boolean, nullable=False),
    Index("catalogue_objects_by_name", "storage", "name", unique=True),
    sqlite_autoincrement=True,  # a revision is never given twice, as a sequence of PostgreSQL never does
)
"""One row for each known object. `types` is a JSON list, null where unknown; log_id is '' for a foreign object, whose
`foreign_note` says what of it can't be read, if anything. `revision` grows with every row."""

journal_holes = Table(
    "journal_holes",
    metadata,
    Column("log_id", String(20), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
    Column("told", Boolean, nullable=False),
)
"""One row for each range of sequences that was lost to damage of a journal, never removed.

`told`: its audit event was added to the outbox with it.
"""

outbox = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""One row for each event of the service itself that is not yet durable in the journal; `event` is its JSON."""

locks = Table(
    "locks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("target", String(32), nullable=False),
    Column("name", String(512), nullable=False),
    Column("reason", Text, nullable=False),
    Column("creator", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=True),
)
"""One row for each lock, until it is deleted, or has ended and another is added.

`creator` is a JSON list of strings: kind, name, trust anchor, certificate serial, token id.
"""

lock_changes = Table(
    "lock_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row, id 1: how many times the locks have changed, so that a look at them costs one row."""

uploads = Table(
    "uploads",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("upload_id", String(64), nullable=False),
    Column("session_id", String(36), nullable=False, index=True),
    Column("storage", String(128), nullable=False),
    Column("handle", Text, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("owner", Text, nullable=False),
    Column("owner_key", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("resumed_ms", BigInteger, nullable=True),
    Column("touched_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=True),
    Column("partial", Boolean, nullable=False),
)
"""One row for each upload, never removed. `owner` is a JSON object, `owner_key` a digest of what makes two of them the
same; `bytes` is what was durable when a stream last left it, `touched_ms` when that was."""

recordings = Table(
    "recordings",
    metadata,
    Column("key", String(32), primary_key=True),
    Column("upload_id", String(64), nullable=False),
    Column("session_id", String(36), nullable=False, index=True),
    Column("recording_of", String(36), nullable=True, unique=True),
    Column("kind", String(16), nullable=False),
    Column("storage", String(128), nullable=False),
    Column("handle", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("custody_digest", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("uploader", Text, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("resumed_ms", BigInteger, nullable=True),
    Column("completed_ms", BigInteger, nullable=False),
    Column("partial", Boolean, nullable=False),
    Column("other_server", Boolean, nullable=False),
)
"""One row for each recording, and for each upload that is kept aside or was aborted (`kind`); rebuildable from the
custody records in the storage. `recording_of` is the session of its recording, and null of all else: a session has one.
"""

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
"""One row for each event of ours that ends a session, with its JSON; emitter and `vouches` as in `session_claims`."""

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
    Index(
        "sessions_with_upload",
        "generation",
        "begun_ms",
        "session_id",
        sqlite_where=text("has_upload IS 1"),
        postgresql_where=text("has_upload IS TRUE"),
    ),
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
