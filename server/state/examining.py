"""Looking at the state database without changing anything of it, whether or not a server has it open."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, inspect, select
from sqlalchemy.pool import NullPool

from server.state.catalogue import Catalogue
from server.state.database import BUSY_TIMEOUT_MS, check_files, log_and_index
from server.state.issued_certificates import IssuedCertificate, SqlIssuedCertificates
from server.state.migrations import MIGRATIONS
from server.state.signing_keys import SigningKey, SqlSigningKeys
from server.state.storage_damage import SqlStorageDamage
from server.state.tables import schema_version
from server.state.uploads import SqlUploads

NEWEST_SCHEMA = len(MIGRATIONS)
"""The schema that this version of the service brings a database to."""


@contextmanager
def examining(path: Path) -> Iterator[StateAtHand]:
    """The database at `path`, for reading; every look sees what is committed when it begins.

    What can't be opened or read is told by the look, as StateFault.
    """
    with tempfile.TemporaryDirectory(prefix="extaudit-") as folder:
        engine = create_engine(
            "sqlite://", creator=lambda: _connect(path, Path(folder)), poolclass=NullPool, hide_parameters=True
        )
        try:
            yield StateAtHand(engine)
        finally:
            engine.dispose()


class StateAtHand:
    """A state database that is only read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def schema(self) -> int:
        """How many of the migrations it has seen; 0 where it is none of the service's."""
        with self._engine.connect() as connection:
            if not inspect(connection).has_table(schema_version.name):
                return 0
            return int(connection.execute(select(schema_version.c.version)).scalar_one())

    def damage(self) -> list[str]:
        """What SQLite finds wrong with the file; [] if nothing."""
        with self._engine.connect() as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(20)")]
        return [] if found == ["ok"] else found

    def catalogue(self) -> Catalogue:
        """The catalogue as it is now."""
        return Catalogue(self._engine)

    def issued(self) -> list[IssuedCertificate]:
        """Every recorded certificate, oldest first."""
        return SqlIssuedCertificates(self._engine).all()

    def damage_found(self) -> SqlStorageDamage:
        """What the walk in the background keeps; only what reads may be called."""
        return SqlStorageDamage(self._engine)

    def signing_keys(self) -> list[SigningKey]:
        """The keys of the service's own issuer, oldest first."""
        found = SqlSigningKeys(self._engine).read(-1)
        return found[1] if found else []

    def uploads(self) -> SqlUploads:
        """Uploads and recordings; only what reads may be called."""
        return SqlUploads(self._engine)


def _connect(path: Path, folder: Path) -> sqlite3.Connection:
    """Open for reading, in the one way that leaves the files as they are.

    Where there is a write-ahead log its index is only read. Without one the file is whole by itself, and nothing is
    made beside it. A log without its index, as a copy may lack it, is read from another copy, where one can be made.
    """
    try:
        check_files(path)
    except OSError as error:
        raise sqlite3.OperationalError(error.strerror) from error
    log, index = log_and_index(path)
    how = "mode=ro&readonly_shm=1" if log.exists() else "mode=ro&immutable=1"
    if log.exists() and not index.exists():
        for source in (path, log):
            shutil.copyfile(source, folder / source.name)
        path, how = folder / path.name, "mode=ro"
    uri = f"file:{quote(str(path.absolute()))}?{how}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False)
