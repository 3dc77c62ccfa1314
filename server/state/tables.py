"""The tables of the state database. Nothing here that PostgreSQL can't do; times are ms since 1970."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text

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
    Column("record_number", BigInteger, nullable=False, server_default="0"),
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
    Column("version", Text, nullable=False, server_default=""),
    Index("catalogue_objects_by_name", "storage", "name", unique=True),
    sqlite_autoincrement=True,  # a revision is never given twice, as a sequence of PostgreSQL never does
)
"""One row for each known object. `types` is a JSON list, null where unknown; log_id is '' for a foreign object, whose
`foreign_note` says what of it can't be read, if anything, and `version` which one was seen. `revision` grows with
every row."""

journal_holes = Table(
    "journal_holes",
    metadata,
    Column("log_id", String(20), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
    Column("told", Boolean, nullable=False),
)
"""One row for each range of sequences that was lost to damage of a journal, less what was found again in a storage.

`told`: its audit event was added to the outbox with it.
"""

diverted_batches = Table(
    "diverted_batches",
    metadata,
    Column("log_id", String(20), primary_key=True),
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("storage", String(128), nullable=False),
    Column("to", String(128), nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
)
"""One row for each batch that was diverted from `storage`, where it couldn't be delivered, never removed: what turns up
of it there is known, and counts no more. `first_ms` and `last_ms` are the times of its events."""

outbox = Table(
    "outbox",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("storage", String(128), nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
"""One row for each event of the service itself that is not yet durable in the journal: its JSON, and the storage that
it belongs to, '' for whichever is active."""

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

storage_damage = Table(
    "storage_damage",
    metadata,
    Column("storage", String(128), primary_key=True),
    Column("name", String(1024), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("detail", Text, nullable=False),
    Column("found_ms", BigInteger, nullable=False),
)
"""One row for each stored object that the scrub found wrong, by its kind, until it is right again."""

scrub_walk = Table(
    "scrub_walk",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("position", String(1024), nullable=False),
    Column("begun_ms", BigInteger, nullable=False),
    Column("passed_ms", BigInteger, nullable=True),
)
"""One row, id 1, once the scrub has begun: the name that it checked last, and when a walk last came to its end."""
