"""The steps that bring a state database to the present schema, oldest first. A released step is never changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, insert, inspect, select, text, update

from server.state.external_storage_tables import EXTERNAL_STORAGE_TABLES, signing_key_changes
from server.state.session_tables import SESSION_TABLES, session_index
from server.state.tables import (
    catalogue_batches,
    catalogue_objects,
    diverted_batches,
    issued_certificates,
    journal_holes,
    lock_changes,
    locks,
    outbox,
    recordings,
    schema_version,
    scrub_walk,
    storage_damage,
    uploads,
)

Migration = Callable[[Connection], None]


class NewerSchema(Exception):
    """The database was written by a later version of the service."""


def create_issued_certificates(connection: Connection) -> None:
    """Version 1: the certificates that the local CAs issued."""
    issued_certificates.create(connection)


def create_catalogue(connection: Connection) -> None:
    """Version 2: known batches and objects, and the holes of journals."""
    for table in (catalogue_batches, catalogue_objects, journal_holes):
        table.create(connection)


def create_outbox(connection: Connection) -> None:
    """Version 3: the service's own events that wait for the journal."""
    outbox.create(connection)


def create_locks(connection: Connection) -> None:
    """Version 4: locks, and how many times they have changed."""
    for table in (locks, lock_changes):
        table.create(connection)
    connection.execute(insert(lock_changes).values(id=1, revision=0))


def create_uploads(connection: Connection) -> None:
    """Version 5: uploads, and the recordings that they became."""
    for table in (uploads, recordings):
        table.create(connection)


def create_session_index(connection: Connection) -> None:
    """Version 6: the session index, which is empty and knows it where there are batches already."""
    for table in (session_index, *SESSION_TABLES):
        table.create(connection)
    connection.execute(insert(session_index).values(id=1, active=1, building=0))


def create_storage_damage(connection: Connection) -> None:
    """Version 7: what the scrub found, and how far it is."""
    for table in (storage_damage, scrub_walk):
        table.create(connection)


def create_external_storage(connection: Connection) -> None:
    """Version 8: integrations, signing keys, external audit storages with their tests and history."""
    for table in EXTERNAL_STORAGE_TABLES:
        table.create(connection)
    connection.execute(insert(signing_key_changes).values(id=1, revision=0))


def add_versions_of_objects(connection: Connection) -> None:
    """Version 9: which version of a foreign object was seen."""
    _add_column(connection, catalogue_objects.name, "version", "TEXT NOT NULL DEFAULT ''")


def create_diverted_batches(connection: Connection) -> None:
    """Version 10: batches that were diverted from a storage."""
    diverted_batches.create(connection)


def add_record_numbers(connection: Connection) -> None:
    """Version 11: by which of its names a batch record is there."""
    _add_column(connection, catalogue_batches.name, "record_number", "BIGINT NOT NULL DEFAULT 0")


def add_storages_of_outbox(connection: Connection) -> None:
    """Version 12: which storage an own event belongs to."""
    _add_column(connection, outbox.name, "storage", "VARCHAR(128) NOT NULL DEFAULT ''")


def _add_column(connection: Connection, table: str, name: str, definition: str) -> None:
    """A new database has it since the version that made the table."""
    if name not in {column["name"] for column in inspect(connection).get_columns(table)}:
        connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {name} {definition}"))


MIGRATIONS: tuple[Migration, ...] = (
    create_issued_certificates,
    create_catalogue,
    create_outbox,
    create_locks,
    create_uploads,
    create_session_index,
    create_storage_damage,
    create_external_storage,
    add_versions_of_objects,
    create_diverted_batches,
    add_record_numbers,
    add_storages_of_outbox,
)
"""Migration n (counting from 1) makes version n; append only."""


def migrate(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Apply what is missing, inside the transaction of `connection`.

    Raises:
        NewerSchema: the database knows more migrations than this code.
    """
    if not inspect(connection).has_table(schema_version.name):
        schema_version.create(connection)
        connection.execute(insert(schema_version).values(id=1, version=0))
    version = connection.execute(select(schema_version.c.version)).scalar_one()
    if version > len(migrations):
        raise NewerSchema(f"the state database has schema {version}; this version knows up to {len(migrations)}")
    for migration in migrations[version:]:
        migration(connection)
    connection.execute(update(schema_version).values(version=len(migrations)))
