"""Roles that change while the service runs: nobody is freed by a missing file, and nothing fails for a reload."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.status_service_pb2 import GetStatusRequest
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub

from server.app import App
from server.certificates.issuing import issue_user
from server.state.database import database_path
from tests.polling import until
from tests.running_app import running_app

DENY = (
    "{kind: role, version: v7, metadata: {name: no-locks}, spec: {deny: {rules: [{resources: [lock], verbs: ['*']}]}}}"
)
READER = """
kind: role
version: v7
metadata: {{name: reader}}
spec: {{allow: {{rules: [{{resources: [{0}], verbs: [list]}}]}}}}
"""
OTHER = "{{kind: role, version: v7, metadata: {{name: other-{0}}}, spec: {{}}}}"


@contextmanager
def channel_of(app: App, folder: Path, name: str, *roles: str) -> Iterator[grpc.Channel]:
    issued = issue_user(app.config.data_dir, name, roles, 1, folder)
    pems = [path.read_bytes() for path in (issued.ca, issued.key, issued.certificate)]
    with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        yield channel


def put(app: App, name: str, text: str | None) -> None:
    """Write a file of roles, or remove it, and wait until what it says is in force."""
    before = app.status.policy_digest
    path = app.config.data_dir / "roles" / name
    if text is None:
        path.unlink()
    else:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").rename(path)
    until(lambda: app.status.policy_digest != before)


def search(channel: grpc.Channel) -> grpc.StatusCode:
    try:
        AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest(page_size=1), timeout=60)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


def test_whoever_carries_a_deny_role_whose_file_is_gone_is_refused_everything(tmp_path: Path) -> None:
    with running_app(tmp_path / "data") as app:
        put(app, "deny.yaml", DENY)
        with channel_of(app, tmp_path, "eve", "auditor", "no-locks") as channel:
            assert search(channel) is grpc.StatusCode.OK
            put(app, "deny.yaml", None)
            assert search(channel) is grpc.StatusCode.PERMISSION_DENIED
            with pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
                StatusServiceStub(channel).GetStatus(GetStatusRequest())
            put(app, "deny.yaml", DENY)
            assert search(channel) is grpc.StatusCode.OK


def test_reloads_under_load_fail_no_call_and_leave_no_stale_decision(tmp_path: Path) -> None:
    with running_app(tmp_path / "data") as app:
        put(app, "reader.yaml", READER.format("event"))
        with channel_of(app, tmp_path, "alice", "reader") as channel:
            assert search(channel) is grpc.StatusCode.OK
            stop = threading.Event()
            codes: list[list[grpc.StatusCode]] = [[], [], []]

            def load(found: list[grpc.StatusCode]) -> None:
                while not stop.is_set():
                    found.append(search(channel))

            threads = [threading.Thread(target=load, args=(found,)) for found in codes]
            for thread in threads:
                thread.start()
            for number in range(6):
                before = [len(found) for found in codes]
                put(app, "other.yaml", OTHER.format(number))
                until(lambda before=before: all(len(found) > start for found, start in zip(codes, before, strict=True)))
            stop.set()
            for thread in threads:
                thread.join()
            assert {code for found in codes for code in found} == {grpc.StatusCode.OK}
            put(app, "reader.yaml", READER.format("lock"))
            assert {search(channel) for _ in range(50)} == {grpc.StatusCode.PERMISSION_DENIED}
            put(app, "reader.yaml", READER.format("event"))
            assert search(channel) is grpc.StatusCode.OK


@pytest.mark.parametrize("trouble", ["write lock", "no table"])
def test_a_state_database_in_trouble_holds_no_change_of_roles_up(
    tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.state.database.BUSY_TIMEOUT_MS", 100_000)  # what waits for it does so for too long
    with running_app(tmp_path / "data") as app:
        database = sqlite3.connect(database_path(app.config.data_dir), timeout=120, isolation_level=None)
        if trouble == "write lock":
            database.execute("BEGIN IMMEDIATE")
        else:
            database.execute("ALTER TABLE issued_certificates RENAME TO away")
        for number in range(3):  # the event of the first already waits for the database
            put(app, f"other-{number}.yaml", OTHER.format(number))
        if trouble == "no table":
            database.execute("ALTER TABLE away RENAME TO issued_certificates")
        database.close()
