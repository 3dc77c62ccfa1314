"""Opening the state database: SQLite, durable at commit, shared by the server and the commands beside it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from server.files import DiskFiles
from server.regular_files import check_regular, open_regular
from server.state.migrations import MIGRATIONS, migrate

StateFault = DBAPIError
"""What the state raises when the database can't do it, under a name that doesn't tell the library."""
Database = Engine
"""An open state database, likewise."""

BUSY_TIMEOUT_MS = 10_000
FILE_NAME = "state.db"
_REASONS = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_IOERR": "the disk is full, or fails",
    "SQLITE_BUSY": "another process keeps it locked",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_NOTADB": "it is damaged",
    "SQLITE_READONLY": "it can't be written",
    "SQLITE_CANTOPEN": "it can't be opened",
}
"""By SQLite's primary result codes, https://sqlite.org/rescode.html."""


def database_path(data_dir: Path) -> Path:
    """Where the state database of a data directory is."""
    return data_dir / FILE_NAME


def open_database(path: Path) -> Engine:
    """Open the database at `path`, made (0600) and migrated as needed. The caller disposes of the engine.

    A commit is on disk when it returns. Several processes may have it open; a writer waits up to 10 s for another.

    Raises:
        NewerSchema: a later version of the service wrote it.
        sqlalchemy.exc.DBAPIError: it can't be opened, isn't a database, or stayed locked.
        OSError: the file can't be made, or is none.
    """
    _make_private(path)
    # An error's text reaches the log: what was to be written may be secret.
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}, hide_parameters=True)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    try:
        with writing(engine).begin() as connection:
            migrate(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def reason(fault: StateFault) -> str:
    """Why the database can't do it, in words that show nothing of what was to be written."""
    name = getattr(fault.orig, "sqlite_errorname", "")
    return _REASONS.get("_".join(name.split("_")[:2]), "it is damaged or locked")


def may_be_committed(error: Exception) -> bool:
    """Whether what was to be written may be there after a restart, though the database shows nothing of it: its end may
    have been written before a sync failed."""
    return isinstance(error, StateFault) and "_IOERR" in getattr(error.orig, "sqlite_errorname", "")


def log_and_index(path: Path) -> tuple[Path, Path]:
    """The files that SQLite has beside a database that was written to."""
    return path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")


def check_files(path: Path) -> None:
    """Refuse a database of which one is no file: SQLite would wait for it. What isn't there is fine.

    Raises:
        OSError: there is such a one, or it can't be looked at.
    """
    for file in (path, *log_and_index(path)):
        with suppress(FileNotFoundError):
            check_regular(file)


def is_unusable(path: Path) -> bool:
    """Whether a start would refuse the database at `path`: it is none, or a later version's. Touches nothing.

    What a running server has not yet written back into the file isn't seen, which can only leave a problem unfound.

    Raises:
        OSError: the file can't be read.
    """
    with open(path, "rb", opener=open_regular):
        pass
    place = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with closing(sqlite3.connect(place, uri=True)) as connection:
        try:
            [(version,)] = connection.execute("SELECT version FROM schema_version").fetchall()
        except sqlite3.OperationalError:
            return False  # not made yet
        except sqlite3.DatabaseError:
            return True
    return bool(version > len(MIGRATIONS))


def writing(engine: Engine) -> Engine:
    """The same database for transactions that read before they write: they take the write lock at once.

    SQLite can't wait for a lock in the middle of a transaction that has read an older state; it fails instead.
    """
    return engine.execution_options(writing=True)


def _make_private(path: Path) -> None:
    try:
        os.close(open_regular(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        check_files(path)
        return
    DiskFiles().sync_folder(path.parent)


def _set_pragmas(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # The driver's own transaction handling begins too late and commits around DDL; `_begin` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin(connection: Connection) -> None:
    eager = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if eager else "BEGIN")
