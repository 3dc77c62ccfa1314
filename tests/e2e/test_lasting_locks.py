"""Locks of a whole service: by the command line, over a restart, by another process, and told of in the journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from extaudit_cli.main import run
from extaudit_client import Client, Connection, ExtauditError, Query
from extaudit_client.files import find_connection

from server.certificates.issuing import issue_user
from server.service_events import LOCK_CREATED, LOCK_DELETED
from server.state.database import database_path, open_database
from server.state.locks import Creator, Lock, LockTarget, SqlLocks
from tests.polling import until
from tests.running_app import running_app

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def extaudit(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command as the administrator of the service in `data`."""
    monkeypatch.setenv("EXTAUDIT_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def alice(data_dir: Path) -> Connection:
    """A connection as alice, an auditor."""
    admin = find_connection({}, data_dir)
    files = issue_user(data_dir, "alice", ["auditor"], 1, data_dir / "alice")
    return Connection(admin.address, admin.ca, files.certificate, files.key)


def reason_of(client: Client) -> str:
    """Why a search is refused; '' where it isn't."""
    try:
        client.search(Query())
    except ExtauditError as error:
        return error.reason
    return ""


def test_the_command_line_adds_lists_and_removes(tmp_path: Path, extaudit: Run) -> None:
    with running_app(tmp_path / "data"), Client(alice(tmp_path / "data")) as client:
        assert reason_of(client) == "", "the certificate counts from the moment that it is issued"
        code, out, _ = extaudit(
            "locks", "add", "--user", "alice", "--reason", "left", "--ttl", "8h", "--output", "json"
        )
        made = json.loads(out)
        assert (code, made["target"], made["name"], made["creator"]["name"]) == (0, "user", "alice", "admin")
        assert reason_of(client) == "LOCKED"
        code, out, _ = extaudit("locks", "list", "--output", "jsonl")
        assert (code, json.loads(out)) == (0, made)
        code, out, _ = extaudit("locks", "list")
        assert code == 0
        assert all(text in out for text in (made["id"], "alice", "left", made["expire_time"]))
        assert extaudit("locks", "remove", made["id"])[0] == 0
        assert reason_of(client) == ""
        code, out, error = extaudit("locks", "remove", made["id"])
        assert (code, out, error) == (1, "", "Error: no such lock is in force (NOT_FOUND)\n")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--user", "a"], 2, "--reason"),
        (["--reason", "r"], 2, "exactly one of --user, --component, --role, --certificate-serial, --token-id"),
        (["--reason", "r", "--user", "a", "--role", "b"], 2, "exactly one of"),
        (["--reason", "r", "--user", "a", "--ttl", "0s"], 2, "a duration is"),
        (["--reason", "r", "--user", "a", "--ttl", "1h", "--expires", "2999-01-01"], 2, "can't be given together"),
        (["--reason", "r", "--user", "a", "--expires", "2020-01-01"], 1, "expire_time: must be in the future"),
        (["--reason", "r", "--certificate-serial", "xyz"], 1, "target.certificate_serial: must be"),
        (["--reason", "r", "--role", "editor"], 1, "LOCK_HITS_CALLER"),
    ],
)
def test_a_wrong_lock_is_one_clear_line(
    tmp_path: Path, extaudit: Run, arguments: list[str], code: int, says: str
) -> None:
    with running_app(tmp_path / "data"):
        found, out, error = extaudit("locks", "add", *arguments)
        assert (found, out) == (code, "")
        assert says in error.splitlines()[-1]


def test_a_lock_outlasts_a_restart_and_is_told_of_in_the_journal(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_app(data), Client(find_connection({}, data)) as admin:
        lock = admin.create_lock("user", "alice", "seen in the logs")
        admin.create_lock("component", "node-1", "stolen")
    with running_app(data), Client(find_connection({}, data)) as admin, Client(alice(data)) as client:
        until(lambda: reason_of(client) == "LOCKED")
        assert sorted(each.name for each in admin.locks()) == ["alice", "node-1"]
        admin.delete_lock(lock.id)
        assert reason_of(client) == ""
        until(lambda: len(told(admin)) == 3)
        created, other, deleted = told(admin)
    assert (created["event"], created["lock"]["id"], created["lock"]["reason"]) == (
        LOCK_CREATED,
        lock.id,
        "seen in the logs",
    )
    assert other["lock"]["target"] == "component"
    assert (deleted["event"], deleted["lock"]["id"], deleted["user"]) == (LOCK_DELETED, lock.id, "admin")


def told(admin: Client) -> list[dict[str, Any]]:
    query = Query(types=(LOCK_CREATED, LOCK_DELETED), order="oldest")
    events = [json.loads(row.json) for page in admin.search_pages(query) for row in page.rows]
    return sorted(events, key=lambda event: (event["event"], event["lock"]["name"]))  # two may be of one millisecond


def test_a_lock_that_another_process_adds_bars_soon(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_app(data), Client(alice(data)) as client:
        until(lambda: not reason_of(client))
        engine = open_database(database_path(data))
        locks = SqlLocks(engine)
        lock = Lock("other", LockTarget.USER, "alice", "why", Creator("user", "root", "", "", ""), 1, None)
        locks.add(lock, {"event": LOCK_CREATED})
        until(lambda: reason_of(client) == "LOCKED")
        locks.remove("other", 2, {"event": LOCK_DELETED})
        until(lambda: not reason_of(client))
        engine.dispose()


def test_who_has_the_machine_gets_back_in_when_every_administrator_is_barred(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_app(data), Client(find_connection({}, data)) as admin:
        admin.create_lock("role", "editor", "a slip", force=True)
        assert reason_of(admin) == "LOCKED"
        rules = "[{resources: [lock], verbs: [list, delete]}]"
        role = f"kind: role\nversion: v7\nmetadata: {{name: rescue}}\nspec: {{allow: {{rules: {rules}}}}}\n"
        (data / "roles" / "rescue.yaml").write_text(role)
        files = issue_user(data, "rescue", ["rescue"], 1, data / "rescue")
        way_in = find_connection({}, data)
        with Client(Connection(way_in.address, way_in.ca, files.certificate, files.key)) as rescuer:
            until(lambda: locks_of(rescuer))
            for lock in locks_of(rescuer):
                rescuer.delete_lock(lock.id)
        assert reason_of(admin) == ""


def locks_of(client: Client) -> list[Any]:
    try:
        return list(client.locks())
    except ExtauditError:
        return []


def test_the_loaded_roles_are_listed(tmp_path: Path, extaudit: Run) -> None:
    with running_app(tmp_path / "data"):
        code, out, _ = extaudit("roles", "list", "--output", "json")
        roles = {role["name"]: role for role in json.loads(out)}
        table = extaudit("roles", "list")[1]
    assert code == 0
    assert roles["importer"] == {
        "name": "importer",
        "preset": True,
        "allow": [{"kinds": ["event", "session"], "verbs": ["create"], "condition": ""}],
        "deny": [],
    }
    assert "contains(session.participants, user.metadata.name)" in table
