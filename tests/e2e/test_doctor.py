"""The doctor finds each planted fault by its name, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from extaudit_cli.doctor_remote import _clock
from extaudit_cli.main import run
from extaudit_client import Query, Unauthenticated

from rbac.permissions import Permission
from server.doctor import roles
from server.doctor.checks import LOCAL_CHECKS
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Finding
from server.served import is_locked
from tests.certificates_builder import CaShape
from tests.e2e.damaged_files import custody, in_place_of, known_uids, mark, recording, segments
from tests.e2e.doctor_faults import CONFIG, PLANTS, UNPLANTED, Plant
from tests.e2e.doctored import (
    QUICK_CUTS,
    copy_of,
    doctor,
    doctor_here,
    fill,
    made_by_a_server,
    objects,
    tree,
    tree_of_running,
)
from tests.polling import until
from tests.running_server import RunningServer, extaudit, running_server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by_a_server(tmp_path_factory.mktemp("made"))


def test_every_fault_is_planted_or_says_why_it_is_not() -> None:
    known = {fault.name for check in LOCAL_CHECKS for fault in check.faults}
    assert {plant.name for plant in PLANTS} | UNPLANTED.keys() == known


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: planted.name)
def test_a_planted_fault_is_found_by_its_name_and_its_remedy_says_what_to_do(
    made: Path, tmp_path: Path, planted: Plant
) -> None:
    if planted.name == "owner_differs" and os.geteuid() != 0:
        pytest.skip("nobody but root gives files away")
    folder = copy_of(made, tmp_path)
    planted.plant(folder / "data")
    before = tree(folder / "data") if (folder / "data").exists() else {}
    arguments = [str(folder / each) if each == CONFIG else each for each in planted.arguments]
    diagnosis = doctor_here(folder, *arguments)
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
        tree_of_running(server)  # a kill in a delivery leaves more to be told
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
    done = extaudit(folder, "doctor", "--check", "storage")
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("ERROR    storage")
    assert lines[1].startswith("  error object_missing: ")
    assert f"{lost.parent.name}/{lost.name}" in lines[2]
    assert lines[3].startswith("    > Put the file back")
    assert "1 error, 0 warnings, 0 notices" in lines[-1]


def test_a_check_that_meets_a_file_where_a_folder_belongs_names_it(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path)
    shutil.rmtree(folder / "data" / "journal")
    (folder / "data" / "journal").touch(0o600)
    diagnosis = doctor_here(folder, "--check", "journal", "--check", "clock")
    assert (diagnosis.code, diagnosis.findings) == (3, [])
    assert diagnosis.report["skipped"] == {"journal": f"{folder / 'data' / 'journal'} can't be used (Not a directory)"}


def test_fifos_in_the_place_of_files_are_named_and_hold_up_nothing(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path)
    files = [path for path in (folder / "data").rglob("*") if path.is_file() and path.name != "state.db"]
    for path in files:
        in_place_of(path, os.mkfifo)
    diagnosis = doctor_here(folder, "--deep")
    found = {finding["subject"] for finding in diagnosis.findings if finding["name"] == "not_a_file"}
    assert found == {str(path.relative_to(folder / "data")) for path in files}
    assert diagnosis.report["skipped"].keys() == {"journal"}, "of which nothing can be told without its segments"
    in_place_of(folder / "data" / "state.db", os.mkfifo)
    assert {"not_a_file", "state_unreadable"} <= doctor_here(folder).names


def test_what_a_start_mends_or_makes_anew_is_no_error(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path)
    (folder / "data" / "ready.json").touch()
    (folder / "data" / "ready.json").chmod(0o644)
    (folder / "data" / "identity" / "server.crt").unlink()
    # As earlier versions left a log once all was delivered.
    for segment in segments(folder / "data"):
        segment.unlink()
    place = mark(folder / "data", "place.json")
    place.write_text(json.dumps({"number": place.stat().st_ino, "folder": place.parent.stat().st_ino}))
    diagnosis = doctor_here(folder)
    assert (diagnosis.code, diagnosis.names) == (0, {"ready_file_stale", "server_certificate_lost"})


def test_beside_a_server_the_last_chunk_of_known_uids_may_be_unfinished_and_nothing_else(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(made, tmp_path)
    monkeypatch.setattr(DataAtHand, "is_served", lambda _: True)
    file = known_uids(folder / "data")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert doctor_here(folder, "--check", "keys").names == set()
    file.with_name("99999999.uids").touch()
    assert doctor_here(folder, "--check", "keys").names == {"known_uids_torn"}
    file.with_name("99999999.uids").unlink()
    file.write_bytes(whole[:-1] + b"?")
    assert doctor_here(folder, "--check", "keys").names == {"known_uids_damaged"}


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (os.mkdir, "a folder"),
        (os.mkfifo, "a FIFO"),
        (lambda path: path.symlink_to(path.parent / "elsewhere"), "a link"),
    ],
    ids=["folder", "fifo", "link"],
)
def test_what_is_in_the_place_of_a_stored_file_is_said(
    made: Path, tmp_path: Path, make: Callable[[Path], object], found: str
) -> None:
    folder = copy_of(made, tmp_path)
    for file in (objects(folder / "data")[0], recording(folder / "data"), custody(folder / "data")):
        file.rename(file.with_name("elsewhere"))
        make(file)
    diagnosis = doctor_here(folder, "--check", "storage", "--check", "recordings")
    for fault in "object_missing", "recording_unreadable", "custody_record_damaged":
        assert diagnosis.of(fault)["detail"].startswith(f"{found} is in its place"), diagnosis.of(fault)


def test_of_a_lost_ca_key_the_doctor_says_what_the_start_says(made: Path, tmp_path: Path) -> None:
    folder = copy_of(made, tmp_path)
    (folder / "data" / "identity" / "host-ca.key").unlink()
    (folder / "data" / "state.db").unlink()
    (folder / "data" / "state.db").mkdir(0o755)
    diagnosis = doctor_here(folder)
    told = "identity/host-ca.key is missing while host-ca.crt is there; restore it from a copy"
    assert diagnosis.of("certificates_refused")["detail"] == told
    assert diagnosis.of("not_a_file")["subject"] == "state.db"
    assert "mode_open" not in diagnosis.names, "a chmod would mend nothing"


def test_after_a_loss_of_the_state_the_administrator_comes_in_again_by_what_the_remedy_says(
    made: Path, tmp_path: Path
) -> None:
    folder = copy_of(made, tmp_path)
    (folder / "data" / "state.db").unlink()
    remedy = doctor_here(folder, "--check", "state").of("state_missing")["remedy"]
    assert remedy.startswith("Stop the server and put state.db back from a copy.")
    remove, issue = (shlex.split(each) for each in re.findall("`([^`]+)`", remedy))
    with running_server(folder) as server:
        with pytest.raises(Unauthenticated, match="not on record"), server.client() as client:
            client.status()
        subprocess.run(remove, check=True)
        assert run(issue[1:]) == 0
        with server.client() as client:
            assert client.status().serving


def test_a_wrong_setting_leaves_the_directory_that_the_file_names(made: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(f'data_dir = "{made / "data"}"\n[journal]\ncut_events = 0\n')
    diagnosis = doctor(tmp_path, "--config", str(file))
    assert diagnosis.report["data_dir"] == str(made / "data")
    assert diagnosis.names == {"configuration_wrong"}
    assert diagnosis.facts("storage")["objects"] > 5


def test_the_lock_of_a_file_with_the_same_inode_on_another_volume_is_no_running_server() -> None:
    held = "1: FLOCK  ADVISORY  WRITE 811 fe:01:12 0 EOF\n2: POSIX  ADVISORY  WRITE 811 fe:02:12 0 EOF\n"
    assert is_locked(held, "fe:01:12")
    assert not is_locked(held, "fe:02:12")
    assert not is_locked(held, "fe:01:1")


def test_a_name_that_is_no_check_is_wrong_usage(made: Path) -> None:
    diagnosis = doctor(made, "--check", "weather")
    assert diagnosis.code == 2
    assert "there is no check 'weather'; there are configuration, files, state" in diagnosis.errors


def test_events_that_wait_for_long_and_a_walk_that_does_not_end_are_told_beside_a_running_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_server(tmp_path) as server:
        with server.client() as client:
            client.emit(b'{"event":"b"}')
        assert "journal_late" not in doctor_here(tmp_path, "--check", "journal").names
        later = int(time.time() * 1000) + 3_600_000
        monkeypatch.setattr(DataAtHand, "now_ms", property(lambda _: later))
        found = doctor_here(tmp_path, "--check", "journal")
        later += 30 * 86_400_000
        late = doctor_here(tmp_path, "--check", "scrub")
    assert "extaudit status" in found.of("journal_late")["remedy"]
    assert "max_bytes_per_second" in late.of("scrub_late")["remedy"]


def test_a_permission_that_no_role_gives_is_told(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = Permission((("event", ("destroy",)),))
    monkeypatch.setattr(roles, "PERMISSIONS", {**roles.PERMISSIONS, "/extaudit.v1.AuditLogService/Destroy": row})
    found = doctor_here(made, "--check", "roles").of("permission_unheld")
    assert (found["subject"], found["detail"]) == ("AuditLogService.Destroy", "needs event:destroy")


def test_a_service_is_asked_over_the_network_beside_its_directory_or_alone(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ready = server.wait_until_ready()
        both = doctor(tmp_path)
        assert (both.code, both.findings) == (0, [])
        assert both.facts("connection")["TLS"] == "TLSv1.3"
        assert both.facts("service")["clocks differ by seconds"] == 0
        away = tmp_path / "away"
        away.mkdir()
        files = [f"--{name}={ready[name]}" for name in ("ca", "cert", "key")]
        alone = doctor(away, "--address", ready["grpc"], *files)
        assert (alone.code, alone.findings) == (0, [])
        assert [check["check"] for check in alone.report["checks"]] == ["connection", "service", "external_storage"]
        assert alone.facts("external_storage") == {"storage in force": "default"}
        assert (alone.report["address"], alone.report["data_dir"]) == (ready["grpc"], "")
    gone = doctor(away, "--address", ready["grpc"], *files)
    assert gone.code == 1
    assert gone.names == {"service_unreachable"}
    assert "--address" in gone.of("service_unreachable")["remedy"]
    assert "there is nothing to look at" in doctor(away).errors


def test_what_the_service_says_is_wrong_is_told_and_a_wrong_ca_is_named(tmp_path: Path) -> None:
    with running_server(
        tmp_path, *QUICK_CUTS, "--scrub-period-seconds", "0.3", "--alerts-period-seconds", "0.1"
    ) as server:
        fill(server)
        objects(server.data_dir)[0].unlink()
        with server.client() as client:
            until(lambda: any(each.name == "storage_damaged" for each in client.status().problems))
            until(lambda: not client.search(Query()).complete and client.status().alerts)
        found = doctor(tmp_path, "--check", "service")
        assert found.of("service_alert")["subject"] == "event-search of default"
        assert "the object isn't there" in found.of("service_alert")["detail"]
        assert (found.code, found.of("service_problem")["subject"]) == (0, "storage_damaged")
        other = tmp_path / "other.pem"
        other.write_bytes(CaShape().make().pem)
        refused = doctor(tmp_path, "--check", "connection", "--ca", str(other))
        assert "issuer" in refused.of("service_unreachable")["detail"]


@pytest.mark.parametrize(("seconds", "told"), [(0, set()), (-60, {"clocks_differ"}), (60, {"clocks_differ"})])
def test_a_clock_that_differs_is_told(seconds: int, told: set[str]) -> None:
    begun = datetime(2026, 11, 28, tzinfo=UTC)
    findings = _clock(begun + timedelta(seconds=seconds), begun, begun + timedelta(seconds=1))
    assert {each.fault.name for each in findings if isinstance(each, Finding)} == told


def test_beside_a_server_that_takes_and_delivers_events_all_the_time_nothing_is_found(tmp_path: Path) -> None:
    with running_server(tmp_path, "--journal-cut-age-seconds", "0.1", "--journal-cut-events", "5") as server:
        stopped = threading.Event()

        def emit() -> None:
            with server.client() as client:
                while not stopped.is_set():
                    client.emit(b'{"event":"b"}')

        emitting = threading.Thread(target=emit)
        emitting.start()
        try:
            until(lambda: len(objects(tmp_path / "data")) > 20)
            for _ in range(2):
                diagnosis = doctor(tmp_path, "--deep")
                assert diagnosis.findings == []
                # On a busy machine a journal that is cut all the time changes faster than it is read, which is told.
                assert set(diagnosis.report["skipped"]) <= {"journal"}
        finally:
            stopped.set()
            emitting.join()
        assert diagnosis.facts("storage")["objects"] > 20
