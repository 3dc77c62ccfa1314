"""A certificate that ends while a program runs: it goes on with the renewed file, and no event is lost meanwhile."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from extaudit_client import Client, Connection, Emitter, ExtauditError, Query, Retries
from extaudit_client.pem import validities

from server.certificates import issuing, signing
from tests.polling import until
from tests.running_server import RunningServer, running_server

ROLES = ("local-administrator", "editor", "auditor", "importer")


def test_the_same_client_and_emitter_go_on_with_renewed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No command issues for less than a day.
    monkeypatch.setattr(issuing, "_life", lambda days: timedelta(seconds=days))
    monkeypatch.setattr(signing, "_checked_life", lambda life: life)
    with running_server(tmp_path) as server:
        # On a busy machine the life of the first is over before it is used once.
        assert any(goes_on(server, f"lives-{seconds}", seconds, tmp_path) for seconds in (6, 24, 60))


def goes_on(server: RunningServer, name: str, seconds: int, folder: Path) -> bool:
    """Use a certificate before its end, after it, and renewed; False where it was over before it was used."""
    issuing.issue_user(server.data_dir, name, ROLES, seconds, folder)
    (_, ends) = validities((folder / f"{name}.crt").read_bytes())[0]
    given = server.connection()
    connection = Connection(given.address, given.ca, folder / f"{name}.crt", folder / f"{name}.key")
    spool, retries = folder / f"spool-of-{name}", Retries(first_delay=0.05)
    with Client(connection) as client, Emitter(connection, spool, retries=retries) as emitter:
        uids = [emitter.emit({"event": name, "n": 0})]
        try:
            emitter.flush(seconds)
            assert client.status().version
        except (TimeoutError, ExtauditError):
            assert datetime.now(UTC) > ends
            return False
        until(lambda: datetime.now(UTC) > ends)
        with pytest.raises(ExtauditError, match="expired"):
            client.status()
        uids.append(emitter.emit({"event": name, "n": 1}))
        until(lambda: emitter.stats.trouble is not None)
        assert emitter.stats.queued == 1
        issuing.renew(server.data_dir, name, folder, 300)
        assert client.status().version, "the service looks for its serial as it comes"
        emitter.flush(60)
        uids.append(emitter.emit({"event": name, "n": 2}))
        emitter.flush(60)
        found = [json.loads(row.json)["uid"] for row in client.search_all(Query(types=(name,)))]
    assert Counter(found) == Counter(uids)
    return True
