"""What every release wrote, and the present code writes, is read for ever: copies are served by today's code."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from extaudit_cli.main import run
from extaudit_client import Client, Query
from extaudit_client.errors import Unauthenticated
from extaudit_client.files import find_connection

from server.certificates.issuing import list_issued, renew
from server.state.examining import NEWEST_SCHEMA
from tests.formats.directory import FOLDER, RECORDING, Manifest, unpack
from tests.formats.make import QUERY, watch
from tests.polling import until
from tests.running_server import running_server

ARCHIVES = sorted(FOLDER.glob("*.tar.xz"))
MAX_BYTES = 500_000
ALL = Query(types=("format.test",), order="oldest")


@dataclass
class Served:
    manifest: Manifest
    client: Client
    data_dir: Path


def is_known(client: Client) -> bool:
    """Whether the server has seen that the certificate is recorded."""
    try:
        client.status()
    except Unauthenticated:
        return False
    return True


@pytest.fixture(scope="module", params=ARCHIVES, ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("kept")
    manifest = unpack(request.param, folder)
    with running_server(folder) as server:
        # The certificate in it has ended: it lasted 30 days.
        renew(server.data_dir, "admin", folder / "admin")
        files = {"cert": folder / "admin" / "admin.crt", "key": folder / "admin" / "admin.key"}
        with Client(find_connection({}, server.data_dir, **files)) as client:
            until(lambda: is_known(client))
            yield Served(manifest, client, server.data_dir)


def test_there_is_one_of_each_release_and_each_is_small() -> None:
    assert ARCHIVES
    assert all(archive.stat().st_size < MAX_BYTES for archive in ARCHIVES)


def test_there_is_one_of_the_present_format(tmp_path: Path) -> None:
    """Else nothing holds the next change to it: `python -m tests.formats.make VERSION-SCHEMA` makes one."""
    schemas = set[int]()
    for archive in ARCHIVES:
        folder = tmp_path / archive.name
        unpack(archive, folder)
        with closing(sqlite3.connect(folder / "data" / "state.db")) as state:
            schemas |= {version for (version,) in state.execute("SELECT version FROM schema_version")}
    assert max(schemas) == NEWEST_SCHEMA


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda archive: archive.name.removesuffix(".tar.xz"))
def test_before_an_upgrade_the_doctor_finds_nothing_that_only_a_later_version_has(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unpack(archive, tmp_path)
    run(["doctor", "--data-dir", str(tmp_path / "data"), "--check", "keys", "--check", "storage", "--output", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["errors"], told["warnings"], told["notices"]) == (0, 0, 0)
    assert all("of an earlier version" in reason for reason in told["skipped"].values())


def test_every_event_is_found_once_in_its_place_byte_for_byte(served: Served) -> None:
    found = {}
    for page in served.client.search_pages(ALL):
        assert page.missing == ()
        for row in page.rows:
            (receipt,) = row.receipts
            found[json.loads(row.json)["uid"]] = receipt.log_id, receipt.sequence, row.json.decode()
    assert found == served.manifest.events


def test_a_retry_of_each_gets_its_first_acknowledgement(served: Served) -> None:
    for log_id, sequence, data in served.manifest.events.values():
        answer = served.client.emit(data.encode())
        assert (answer.log_id, answer.sequence) == (log_id, sequence)


def test_a_page_token_goes_on_and_a_watcher_goes_on_from_its_place(served: Served) -> None:
    token, uids = served.manifest.page
    assert [json.loads(row.json)["uid"] for row in served.client.search(QUERY, token).rows] == uids
    behind = served.manifest.behind_place
    assert watch(served.client, served.manifest.place, len(behind))[1] == behind


def test_a_recording_is_given_back_and_an_open_upload_goes_on(served: Served) -> None:
    manifest, recordings = served.manifest, served.client.recordings
    assert b"".join(recordings.read(manifest.recorded)) == RECORDING
    upload = recordings.get_upload(manifest.upload)
    assert upload.durable_offset == manifest.durable
    session = upload.session_id
    recordings.upload(io.BytesIO(RECORDING), session, manifest.upload)
    recording, _ = recordings.complete(manifest.upload)
    assert recording.custody_digest == manifest.custody_digest, "the same bytes have the same digest"
    assert b"".join(recordings.read(session)) == RECORDING


def test_locks_certificates_and_roles_are_in_force(served: Served) -> None:
    assert [lock.id for lock in served.client.locks()] == [served.manifest.lock]
    assert {item.serial for item in list_issued(served.data_dir)} > set(served.manifest.certificates)
    assert served.manifest.role in {role.name for role in served.client.roles()}


def test_nothing_of_it_is_taken_for_damage(served: Served) -> None:
    status = served.client.status()
    # The upload that is open there has been left for long by now: that is no damage.
    problems = [problem.name for problem in status.problems if problem.name != "uploads_abandoned"]
    assert (problems, status.journal.holes) == ([], ())
    assert {log_id for log_id, _, _ in served.manifest.events.values()} == {status.journal.log_id}
