"""An unconditional refusal touches no file and no state, and of the journal nothing but its own audit event.

Asserted on the ports themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, status_service_pb2
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub
from sqlalchemy import Engine, event

from server.certificates.issuing import issue_user
from server.files import DiskFiles
from server.lifecycle import App
from tests.polling import until
from tests.running_app import running_app

CALLS: dict[str, Callable[[grpc.Channel], Any]] = {
    "EmitEvent": lambda channel: AuditLogServiceStub(channel).EmitEvent(
        pb.EmitEventRequest(event=event_pb2.EventPayload(json=b'{"event":"x"}'))
    ),
    "EmitEvents": lambda channel: list(
        AuditLogServiceStub(channel).EmitEvents(
            iter([pb.EmitEventsRequest(message_number=1, events=[event_pb2.EventPayload(json=b'{"event":"x"}')])])
        )
    ),
    "SearchEvents": lambda channel: AuditLogServiceStub(channel).SearchEvents(pb.SearchEventsRequest()),
    "GetEvent": lambda channel: list(AuditLogServiceStub(channel).GetEvent(pb.GetEventRequest(uid="x"))),
    "GetStatus": lambda channel: StatusServiceStub(channel).GetStatus(status_service_pb2.GetStatusRequest()),
}


class CountingFiles:
    """DiskFiles, counting every operation."""

    def __init__(self) -> None:
        self._files = DiskFiles()
        self.operations: list[str] = []

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._files, name)

        def counted(*arguments: Any) -> Any:
            self.operations.append(name)
            return operation(*arguments)

        return counted


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """Every statement that any state database executes."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def channel_of(app: App, folder: Path, name: str, roles: list[str]) -> grpc.Channel:
    issued = issue_user(app.config.data_dir, name, roles, 1, folder)
    pems = (issued.ca, issued.key, issued.certificate)
    return grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*(Path(p).read_bytes() for p in pems)))


def deny(method: str, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        CALLS[method](channel)
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("method", CALLS)
def test_a_denied_call_touches_neither_files_nor_state_and_leaves_one_event_a_minute(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.audit_log.denials.MINUTE", 3600.0)  # longer than the test, however busy the machine is
    files = CountingFiles()
    with running_app(tmp_path / "data", files=files, watching=False) as app:  # type: ignore[arg-type]
        channel = channel_of(app, tmp_path, "eve", ["no-such-role"])
        allowed = channel_of(app, tmp_path, "carol", ["editor", "auditor", "importer"])
        # What issuing left there is in the log before its events are counted.
        until(lambda: not app.self_audit.outbox._outbox.first(1))
        app.self_audit.outbox.stop()  # it looks into the state twice a second
        with counted_statements() as statements:
            before = app.log.journal.next_sequence
            deny(method, channel)
            until(lambda: app.log.journal.next_sequence == before + 1)
            assert any("FROM issued_certificates" in each for each in statements), (
                "the certificate was issued after the last look at those"
            )

            def touches_nothing() -> bool:
                """What the service does by itself now and then is seen too, so it is tried until nothing was."""
                statements.clear()
                files.operations.clear()
                for _ in range(3):
                    deny(method, channel)
                return not files.operations and not statements

            until(touches_nothing)
            assert app.log.journal.next_sequence == before + 1
            if method in ("EmitEvent", "EmitEvents", "SearchEvents"):
                CALLS[method](allowed)
                seen = files.operations or statements or app.log.journal.next_sequence > before + 1
                assert seen, "the counters see an allowed call"
        channel.close()
        allowed.close()
