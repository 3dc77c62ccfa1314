"""A state database of every earlier version becomes one of today: the shape of a new one, and what was in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from server.state.database import open_database
from server.state.migrations import MIGRATIONS, migrate
from tests.formats.directory import FOLDER, unpack

ARCHIVES = sorted(FOLDER.glob("*.tar.xz"))
CERTIFICATE = "INSERT INTO issued_certificates VALUES ({})"


def shape(engine: Engine) -> dict[str, list[str]]:
    """Columns, keys and indexes of every table, in words."""
    found = inspect(engine)
    return {
        table: [
            *(f"{column['name']} {column['type']} {column['nullable']}" for column in found.get_columns(table)),
            str(found.get_pk_constraint(table)["constrained_columns"]),
            *sorted(f"{index['column_names']} {index['unique']}" for index in found.get_indexes(table)),
        ]
        for table in found.get_table_names()
    }


@pytest.fixture(scope="module")
def todays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    engine = open_database(tmp_path_factory.mktemp("new") / "state.db")
    found = shape(engine)
    engine.dispose()
    return found


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_each_version_becomes_todays_and_keeps_its_rows(
    version: int, todays: dict[str, list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "state.db"
    old = create_engine(f"sqlite:///{path}")
    with old.begin() as connection:
        migrate(connection, MIGRATIONS[:version])
        if version:
            columns = len(inspect(connection).get_columns("issued_certificates"))
            connection.execute(text(CERTIFICATE.format(", ".join(["1"] * columns))))
    old.dispose()
    engine = open_database(path)
    assert shape(engine) == todays
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version FROM schema_version")).scalar_one() == len(MIGRATIONS)
        assert connection.execute(text("SELECT count(*) FROM issued_certificates")).scalar_one() == min(version, 1)
    engine.dispose()


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name)
def test_what_a_release_made_becomes_todays(archive: Path, todays: dict[str, list[str]], tmp_path: Path) -> None:
    """A released step that was changed later shows here: the tables that it made then are in the archive."""
    unpack(archive, tmp_path)
    path = tmp_path / "data" / "state.db"
    before = sqlite3.connect(path)
    (serials,) = before.execute("SELECT count(*) FROM issued_certificates").fetchone()
    before.close()
    engine = open_database(path)
    assert shape(engine) == todays
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM issued_certificates")).scalar_one() == serials > 0
    engine.dispose()
