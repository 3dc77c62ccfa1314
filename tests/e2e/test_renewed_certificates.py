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
from tests.running_server import running_server

ROLES = ("local-administrator", "editor", "auditor", "importer")


@pytest.mark.timeout(90)
def test_the_same_client_and_emitter_go_on_with_renewed_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # No command issues for less than a day.
    monkeypatch.setattr(issuing, "_life", lambda days: timedelta(seconds=days))
    monkeypatch.setattr(signing, "_checked_life", lambda life: life)
    retries = Retries(first_delay=0.05)
    with running_server(tmp_path) as server:
        issuing.issue_user(server.data_dir, "short", ROLES, 6, tmp_path)
        (_, ends) = validities((tmp_path / "short.crt").read_bytes())[0]
        given = server.connection()
        connection = Connection(given.address, given.ca, tmp_path / "short.crt", tmp_path / "short.key")
        with Client(connection) as client, Emitter(connection, tmp_path / "spool", retries=retries) as emitter:
            uids = [emitter.emit({"event": "renewed", "n": 0})]
            emitter.flush(60)
            assert client.status().version
            until(lambda: datetime.now(UTC) > ends)
            with pytest.raises(ExtauditError, match="expired"):
                client.status()
            uids.append(emitter.emit({"event": "renewed", "n": 1}))
            until(lambda: emitter.stats.trouble is not None)
            assert emitter.stats.queued == 1
            issuing.renew(server.data_dir, "short", tmp_path, 300)
            assert client.status().version, "the service looks for its serial as it comes"
            emitter.flush(60)
            uids.append(emitter.emit({"event": "renewed", "n": 2}))
            emitter.flush(60)
            found = [json.loads(row.json)["uid"] for row in client.search_all(Query(types=("renewed",)))]
        assert Counter(found) == Counter(uids)
