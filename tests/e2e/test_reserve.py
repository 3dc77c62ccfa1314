"""With the intake closed, reads, refusals and locks still leave their trace; without a trace nothing is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from extaudit_client import Client, Query
from extaudit_client.errors import ExtauditError
from extaudit_client.files import find_connection
from extaudit_client.retries import Retries

from server.app import App
from server.audit_log import outbox_drain
from server.audit_log.gate import OWN_RESERVE_BYTES, IntakeGate
from server.certificates.issuing import issue_user
from server.service_events import DENIED, LOCK_CREATED, SEARCHED
from tests.polling import until
from tests.running_app import running_app

PLENTY = 2**60
EVENT = b'{"event":"a"}'


def client_of(data_dir: Path, cert: Path | None = None, key: Path | None = None) -> Client:
    return Client(find_connection({}, data_dir, cert=cert, key=key), retries=Retries(attempts=0))


def gate_of(app: App) -> IntakeGate:
    return app.intake._gate


def close(app: App, how: str, beyond: int) -> None:
    """Make the gate believe that journal or disk are beyond their bound by so many bytes."""
    gate = gate_of(app)
    if how == "journal full":
        gate.observe(gate.quota_bytes + beyond, PLENTY)
    else:
        gate.observe(0, gate.disk_floor_bytes - beyond)


def told(client: Client, kind: str, **expected: object) -> list[dict[str, Any]]:
    rows = [json.loads(row.json) for page in client.search_pages(Query(types=(kind,))) for row in page.rows]
    return [event for event in rows if expected.items() <= event.items()]


def failure(call: Any, *arguments: Any, **named: Any) -> ExtauditError:
    with pytest.raises(ExtauditError) as failed:
        call(*arguments, **named)
    return failed.value


@pytest.mark.parametrize("how", ["journal full", "disk floor"])
def test_the_trace_is_kept_from_the_reserve_and_without_a_trace_nothing_is_read(
    tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = tmp_path / "data"
    monkeypatch.setattr(outbox_drain, "PATIENCE_SECONDS", 3600.0)
    with running_app(data_dir, watching=False) as app, client_of(data_dir) as client:
        eve = issue_user(data_dir, "eve", ["auditor"], 1, tmp_path)
        with client_of(data_dir, eve.certificate, eve.key) as denied:
            close(app, how, 1)
            assert failure(client.emit, EVENT).code == "RESOURCE_EXHAUSTED"
            assert failure(denied.emit, EVENT).code == "PERMISSION_DENIED"
            client.create_lock("user", "mallory", reason="in the reserve")
            until(lambda: told(client, LOCK_CREATED))
            until(lambda: told(client, DENIED, user="eve", count=1))
            assert told(client, SEARCHED, user="admin")

            close(app, how, OWN_RESERVE_BYTES + 1)
            refused = failure(client.search, Query())
            assert (refused.code, refused.retry_after is not None) == ("UNAVAILABLE", True)
            assert failure(client.get, "u").code == "UNAVAILABLE"
            assert failure(denied.create_lock, "user", "x", reason="y").code == "PERMISSION_DENIED"
            client.create_lock("user", "trudy", reason="beyond the reserve")
            until(lambda: app.self_audit.outbox._failing_since)
            assert not app.self_audit.outbox.failing
            monkeypatch.setattr(outbox_drain, "PATIENCE_SECONDS", 0.0)
            assert app.self_audit.outbox.failing
            assert "outbox_waiting" in {problem.name for problem in client.status().problems}

            gate_of(app).observe(0, PLENTY)
            until(lambda: len(told(client, LOCK_CREATED)) == 2)
            until(lambda: not app.self_audit.outbox.failing)
    with running_app(data_dir), client_of(data_dir) as client:
        method = "/extaudit.v1.AccessService/CreateLock"
        assert told(client, DENIED, user="eve", method=method, count=1), "told at the stop, as it couldn't be before"
