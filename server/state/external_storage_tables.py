"""The tables of integrations, signing keys and external audit storages: nothing here that PostgreSQL can't do.

Times are ms since 1970, identities and specs are JSON.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text

from server.state.tables import metadata

integrations = Table(
    "integrations",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("role_arn", String(2048), nullable=False),
    Column("revision", String(36), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("creator", Text, nullable=False),
)
"""One row for each integration."""

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("wrapped_key", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("activated_ms", BigInteger, nullable=True),
    Column("retired_ms", BigInteger, nullable=True),
)
"""One row for each key that signs, signed or will sign tokens. `public_key` is a JWK; `wrapped_key` is the private
half, encrypted, and '' once the key signs no more. `retired_ms` is when it leaves, or left, the published set."""

signing_key_changes = Table(
    "signing_key_changes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row, id 1: how many times the signing keys have changed. A change is made from the revision that it saw."""

external_storages = Table(
    "external_storages",
    metadata,
    Column("stage", String(16), primary_key=True),
    Column("spec", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("revision", String(36), nullable=False),
    Column("storage_id", String(128), nullable=False),
    Column("account_id", String(12), nullable=False),
    Column("integration", String(128), nullable=False),
    Column("drafter", Text, nullable=False),
    Column("drafted_ms", BigInteger, nullable=False),
    Column("promoter", Text, nullable=False),
    Column("promoted_ms", BigInteger, nullable=True),
)
"""At most two rows: `draft` and `cluster`."""

promotions = Table(
    "promotions",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("promoted_ms", BigInteger, nullable=False),
    Column("promoter", Text, nullable=False),
    Column("storage_id", String(128), nullable=False),
    Column("spec", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("account_id", String(12), nullable=False),
    Column("integration", String(128), nullable=False),
    Column("role_arn", String(2048), nullable=False),
    Column("drafter", Text, nullable=False),
    Column("drafted_ms", BigInteger, nullable=True),
    Column("test", Text, nullable=True),
    Column("forced", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_autoincrement=True,
)
"""One row for each change of where new data goes, never changed or removed."""

connection_tests = Table(
    "connection_tests",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("stage", String(16), nullable=False),
    Column("storage_revision", String(36), nullable=False),
    Column("integration", String(128), nullable=False),
    Column("integration_revision", String(36), nullable=False),
    Column("role_arn", String(2048), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("tested_ms", BigInteger, nullable=False),
    Column("tester", Text, nullable=False),
    Index("connection_tests_by_revision", "storage_revision", "number"),
    sqlite_autoincrement=True,
)
"""One row for each connection test that ended; the last of each revision counts. Numbers are in the order in which they
ended, which times are not where a clock was set back."""

EXTERNAL_STORAGE_TABLES = (
    integrations,
    signing_keys,
    signing_key_changes,
    external_storages,
    promotions,
    connection_tests,
)
