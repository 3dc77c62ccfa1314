"""The doctor finds each planted fault by its name, says what to do, and changes nothing."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from server.certificates.authorities import new_authority_certificate, server_certificate
from server.certificates.local_authority import SERVER, USER_CA, load_local_authority
from server.state.database import database_path
from tests.e2e.doctored import (
    QUICK_CUTS,
    copy_of,
    doctor,
    doctor_here,
    fill,
    flip,
    made_by_a_server,
    objects,
    tree,
    tree_of_running,
)
from tests.running_server import RUN, RunningServer, environment, running_server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by_a_server(tmp_path_factory.mktemp("made"))


def on_state(data_dir: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database_path(data_dir))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def damage_state(data_dir: Path) -> None:
    """Damage the page of a table, with the server's log of writes empty."""
    path = database_path(data_dir)
    with closing(sqlite3.connect(path)) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'locks'")
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 3 : (page - 1) * 4096 + 40] = b"\xff" * 37
    path.write_bytes(content)


def days_ago(count: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=count)


def age_server_certificate(data_dir: Path, days: float) -> None:
    local = load_local_authority(data_dir)
    key = local.folder.read_key(SERVER)
    assert key is not None
    local.folder.write_certificate(SERVER, server_certificate(local.host, key.public_key(), days_ago(days)))


def age_user_ca(data_dir: Path, days: float) -> None:
    local = load_local_authority(data_dir)
    aged = new_authority_certificate(local.user.key, local.cluster, "extaudit user CA", days_ago(days))
    local.folder.write_certificate(USER_CA, aged)


def age_issued(data_dir: Path, days_left: float) -> None:
    end = int((datetime.now(UTC) + timedelta(days=days_left)).timestamp() * 1000)
    on_state(data_dir, f"UPDATE issued_certificates SET expires_ms = {end}, not_before_ms = {end - 40 * 86_400_000}")


@dataclass(frozen=True)
class Plant:
    """A fault, how it comes about, and a word of what is to be done."""

    name: str
    plant: Callable[[Path], object]
    remedy: str
    arguments: tuple[str, ...] = ()


def _unlisted(data_dir: Path) -> None:
    found = objects(data_dir)[0]
    found.with_name("0123456789abcdef0123-1-9.parquet").write_bytes(found.read_bytes())


def _foreign(data_dir: Path) -> None:
    found = objects(data_dir)[0]
    found.with_name("theirs.parquet").write_bytes(found.read_bytes())


def _no_folder(data_dir: Path) -> None:
    data_dir.rename(data_dir.with_name("elsewhere"))


PLANTS = [
    Plant("data_directory_missing", _no_folder, "--data-dir"),
    Plant("mode_open", lambda data: (data / "identity" / "admin.key").chmod(0o640), "chmod 600 identity/admin.key"),
    Plant("mode_open", lambda data: data.chmod(0o755), "chmod 700"),
    Plant("ready_file_stale", lambda data: (data / "ready.json").touch(0o600), "Start the server"),
    Plant("part_left", lambda data: (data / "identity" / "a.key.part").touch(0o600), "Start the server"),
    Plant("state_missing", lambda data: database_path(data).unlink(), "copy"),
    Plant("state_unreadable", lambda data: database_path(data).write_bytes(b"no database" * 500), "copy"),
    Plant("state_damaged", damage_state, "copy"),
    Plant("state_newer", lambda data: on_state(data, "UPDATE schema_version SET version = 999"), "later version"),
    Plant("state_older", lambda data: on_state(data, "UPDATE schema_version SET version = 1"), "start the server"),
    Plant("certificates_refused", lambda data: (data / "identity" / "user-ca.key").unlink(), "copy"),
    Plant("certificates_refused", lambda data: (data / "identity" / "server.key").write_bytes(b"x"), "copy"),
    Plant("server_certificate_ends", lambda data: age_server_certificate(data, 360), "Restart"),
    Plant("server_certificate_ended", lambda data: age_server_certificate(data, 366), "Restart"),
    Plant("ca_ends", lambda data: age_user_ca(data, 3640), "grpc.user_ca"),
    Plant("ca_ended", lambda data: age_user_ca(data, 3651), "grpc.user_ca"),
    Plant("identity_ends", lambda data: age_issued(data, 3), "identity renew"),
    Plant("identity_ends_later", lambda data: age_issued(data, 12), "identity renew"),
    Plant("identity_ended", lambda data: age_issued(data, -3), "identity renew"),
    Plant("certificate_unrecorded", lambda data: on_state(data, "DELETE FROM issued_certificates"), "identity issue"),
    Plant("client_ca_differs", lambda data: (data / "identity" / "ca.crt").unlink(), "host-ca.crt"),
    Plant("object_missing", lambda data: objects(data)[0].unlink(), "copy"),
    Plant("object_changed", lambda data: flip(objects(data)[0]), "copy"),
    Plant("object_changed", lambda data: objects(data)[0].write_bytes(b"PAR1"), "copy"),
    Plant("object_unlisted", _unlisted, "move it away"),
    Plant("object_foreign", _foreign, "move it away"),
]


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found_by_its_name_and_its_remedy_says_what_to_do(
    made: Path, tmp_path: Path, planted: Plant
) -> None:
    folder = copy_of(made, tmp_path)
    planted.plant(folder / "data")
    before = tree(folder / "data") if (folder / "data").exists() else {}
    diagnosis = doctor_here(folder, *planted.arguments)
    assert planted.name in diagnosis.names, diagnosis
    assert planted.remedy in diagnosis.of(planted.name)["remedy"]
    assert (diagnosis.code == 1) == any(finding["severity"] == "error" for finding in diagnosis.findings)
    assert (tree(folder / "data") if before else {}) == before


def test_nothing_is_found_in_a_healthy_directory_and_nothing_of_it_changes(made: Path) -> None:
    before = tree(made / "data")
    for arguments in ([], ["--deep"]):
        diagnosis = doctor(made, *arguments)
        assert (diagnosis.code, diagnosis.findings, diagnosis.report["skipped"]) == (0, [], {})
        assert diagnosis.facts("files")["server"] == "not running"
        assert diagnosis.facts("storage")["objects"] == diagnosis.facts("storage")["digests checked"] > 5
    assert tree(made / "data") == before


def test_beside_a_running_server_nothing_is_found_and_nothing_changes(tmp_path: Path) -> None:
    with running_server(tmp_path, *QUICK_CUTS) as server:
        fill(server)
        with server.client() as client:
            client.emit(b'{"event":"b"}')
        before = tree_of_running(server)
        diagnosis = doctor(tmp_path, "--deep")
        after = tree_of_running(server)
    assert (diagnosis.code, diagnosis.findings, diagnosis.report["skipped"]) == (0, [], {})
    assert diagnosis.facts("files")["server"] == "running"
    assert after == before


def test_a_directory_of_a_killed_server_is_read_with_what_its_database_has_in_the_write_ahead_log(
    tmp_path: Path,
) -> None:
    with RunningServer(tmp_path, *QUICK_CUTS).until_killed() as server:
        server.wait_until_ready()
        fill(server)
        server.kill()
    assert (server.data_dir / "state.db-wal").stat().st_size > 0
    before = tree(server.data_dir)
    diagnosis = doctor(tmp_path, "--deep")
    assert diagnosis.names == {"ready_file_stale"}
    assert tree(server.data_dir) == before
    (server.data_dir / "state.db-shm").unlink()
    before = tree(server.data_dir)
    assert doctor(tmp_path).names == {"ready_file_stale"}
    assert tree(server.data_dir) == before


def test_the_table_tells_fault_subject_and_remedy(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path)
    lost = objects(folder / "data")[0]
    lost.unlink()
    done = subprocess.run(
        [*RUN, "doctor", "--check", "storage"], cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("ERROR    storage")
    assert lines[1].startswith("  error object_missing: ")
    assert f"{lost.parent.name}/{lost.name}" in lines[2]
    assert lines[3].startswith("    > Put the file back")
    assert "1 errors, 0 warnings, 0 notices" in lines[-1]


def test_a_name_that_is_no_check_is_wrong_usage(made: Path) -> None:
    diagnosis = doctor(made, "--check", "weather")
    assert diagnosis.code == 2
    assert "there is no check 'weather'; there are files, state" in diagnosis.errors
