"""The state database: durable, private, migrated in order, shared by processes."""

from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from server.state.database import open_database, reason, writing
from server.state.issued_certificates import IssuedCertificate, SqlIssuedCertificates
from server.state.migrations import MIGRATIONS, NewerSchema, migrate


def cert(serial: str, issued_ms: int = 0) -> IssuedCertificate:
    return IssuedCertificate(serial, "user", 'Zoë, "z"', ("a", "b,c"), 1, 2**40, issued_ms)


def test_the_files_are_private_and_commits_are_synced(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    SqlIssuedCertificates(engine).record(cert("1"))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("state.db*")}
    assert len(list(tmp_path.glob("state.db*"))) == 3
    assert modes == {0o600}
    with engine.connect() as connection:
        pragmas = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in PRAGMAS]
    engine.dispose()
    assert dict(zip(PRAGMAS, pragmas, strict=True)) == PRAGMAS


PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_what_was_recorded_is_there_after_a_restart(tmp_path: Path) -> None:
    certs = [cert("b", 1), cert("a", 2)]
    engine = open_database(tmp_path / "state.db")
    for one in certs:
        SqlIssuedCertificates(engine).record(one)
    engine.dispose()
    engine = open_database(tmp_path / "state.db")
    assert SqlIssuedCertificates(engine).all() == certs
    assert SqlIssuedCertificates(engine).serials() == {"a", "b"}
    engine.dispose()


def test_a_serial_is_recorded_once(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    issued = SqlIssuedCertificates(engine)
    issued.record(cert("1"))
    with pytest.raises(DBAPIError):
        issued.record(cert("1", 5))
    assert issued.all() == [cert("1")]
    engine.dispose()


def test_a_fault_says_whether_the_file_or_its_disk_is_to_blame(tmp_path: Path) -> None:
    (tmp_path / "none.db").write_bytes(b"no database" * 1000)
    with pytest.raises(DBAPIError) as damaged:
        open_database(tmp_path / "none.db")
    engine = open_database(tmp_path / "state.db")
    with engine.connect() as connection, pytest.raises(DBAPIError) as full:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # no more than it has
        connection.exec_driver_sql("CREATE TABLE large AS SELECT randomblob(100000)")
    engine.dispose()
    assert [reason(fault.value) for fault in (damaged, full)] == ["it is damaged", "the disk is full"]


def test_only_missing_migrations_are_applied_and_a_failed_one_leaves_nothing(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")

    def add_table(connection: object) -> None:
        connection.execute(text("CREATE TABLE more (id INTEGER)"))  # type: ignore[attr-defined]

    def fail(_: object) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError), writing(engine).begin() as connection:
        migrate(connection, [*MIGRATIONS, add_table, fail])
    assert not inspect(engine).has_table("more")
    for _ in range(2):
        with writing(engine).begin() as connection:
            migrate(connection, [*MIGRATIONS, add_table])
    assert inspect(engine).has_table("more")
    engine.dispose()
    with pytest.raises(NewerSchema):
        open_database(tmp_path / "state.db")


def test_a_writing_transaction_holds_the_lock_before_it_reads(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "state.db")
    other = sqlite3.connect(tmp_path / "state.db", timeout=0, isolation_level=None)
    with writing(engine).begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    with engine.begin():
        other.execute("BEGIN IMMEDIATE")
    other.close()
    engine.dispose()


def record_many(path: Path, first: int, count: int) -> None:
    engine = open_database(path)
    for number in range(first, first + count):
        SqlIssuedCertificates(engine).record(cert(f"{number:x}"))
    engine.dispose()


def test_processes_make_and_fill_one_database_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=record_many, args=(tmp_path / "state.db", 100 * n, 20)) for n in range(1, 4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    engine = open_database(tmp_path / "state.db")
    assert len(SqlIssuedCertificates(engine).serials()) == 60
    engine.dispose()
