"""Promotion over the whole service: where new events go, and what the next start does that a stop left undone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from extaudit_client import Client, Connection
from extaudit_client.errors import Unavailable as ClientUnavailable
from extaudit_client.files import find_connection

from server.certificates.issuing import issue_user
from server.errors import Unavailable
from server.files import DiskFiles
from server.lifecycle import App
from server.state.active_storage import placed_storages
from server.state.database import Database
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage
from tests.running_app import running_app

ROLE = "arn:aws:iam::123456789012:role/audit"


class Folders:
    """Stands where the storages in AWS are: each is a folder."""

    def __init__(self, folder: Path, state: Database) -> None:
        self._folder = folder
        self._state = state

    def ids(self) -> Sequence[str]:
        return list(placed_storages(self._state))

    def open(self, storage_id: str) -> EmbeddedStorage:
        return EmbeddedStorage(DiskFiles(), self._folder / storage_id / "events", storage_id)

    def open_recordings(self, storage_id: str) -> EmbeddedRecordings:
        return EmbeddedRecordings(DiskFiles(), self._folder / storage_id / "recordings", storage_id)

    def without_versions(self, storage_id: str) -> Sequence[str]:
        return ()

    def give_up(self) -> None:
        """Nothing is waited for."""

    def close(self) -> None:
        """Nothing is open."""

    def finder(self, storage_id: str) -> None:
        """No engine but scan reads folders."""

    def problems(self) -> Sequence[str]:
        return ["integration production: planted"]


@contextmanager
def serving(folder: Path) -> Iterator[tuple[App, Client]]:
    data_dir = folder / "data"
    others = folder / "data" / "storage"
    with (
        running_app(data_dir, others=lambda state: Folders(others, state)) as app,
        Client(find_connection({}, data_dir), timeout=60) as client,
    ):
        yield app, client


def draft(client: Client) -> tuple[str, str]:
    """Make a draft; gives revision and id."""
    made = client.storages.generate("production", "us-west-2")
    return made.revision, made.storage_id


def goes_to(client: Client, uid: str) -> str:
    """Where an event goes."""
    return client.emit(b'{"event":"a","uid":"%s"}' % uid.encode()).storage


def test_new_events_go_where_the_promotion_says_and_back(tmp_path: Path) -> None:
    with serving(tmp_path) as (app, client):
        client.integrations.create("production", ROLE)
        assert goes_to(client, "u-1") == "default"
        revision, storage_id = draft(client)
        client.storages.promote(revision, force=True, reason="now")
        assert goes_to(client, "u-2") == storage_id
        client.storages.disable()
        assert goes_to(client, "u-3") == "default"
        assert credentials_told(client) == [
            "integration production: planted; `extaudit storage test --stage cluster` says what to do"
        ]
        issued = issue_user(app.config.data_dir, "auditor", ["auditor"], 1, tmp_path / "auditor")
        paths = map(Path, (issued.ca, issued.certificate, issued.key))
        with Client(Connection(app.ready["grpc"], *paths), timeout=60) as auditor:
            [nameless] = credentials_told(auditor)
            assert "external_audit_storage:read" in nameless
            assert not re.search("production|planted", nameless)


def credentials_told(client: Client) -> list[str]:
    return [each.description for each in client.status().problems if each.name == "aws_credentials"]


@pytest.mark.parametrize("change", ["promotion", "disabling"])
def test_what_a_stop_left_between_state_and_journal_the_next_start_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    async def stopped(_storage_id: str) -> None:
        raise Unavailable("the service stops", reason="STOPPING")

    with serving(tmp_path) as (app, client):
        client.integrations.create("production", ROLE)
        revision, storage_id = draft(client)
        if change == "disabling":
            client.storages.promote(revision, force=True, reason="now")
        before = goes_to(client, "u-1")
        monkeypatch.setattr(app.switch, "to", stopped)
        with pytest.raises(ClientUnavailable, match="it is done, but"):
            if change == "promotion":
                client.storages.promote(revision, force=True, reason="now")
            else:
                client.storages.disable()
        assert goes_to(client, "u-2") == before
        monkeypatch.undo()
    with serving(tmp_path) as (_, client):
        after = goes_to(client, "u-3")
    assert (before, after) == (("default", storage_id) if change == "promotion" else (storage_id, "default"))
