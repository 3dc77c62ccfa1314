"""Real events in and out again: the shipped sample, and the file that EXTAUDIT_EVENTS_FILE names, if it names one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit_cli.main import command
from google.protobuf import json_format, struct_pb2

from server.lifecycle import App
from tests.running_app import running_app

SAMPLE = Path(__file__).parents[2] / "clients" / "cli" / "extaudit_cli" / "sample-events.jsonl"
FILES = [SAMPLE, *([Path(named)] if (named := os.environ.get("EXTAUDIT_EVENTS_FILE")) else [])]
MAX_EXACT = 2**53


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def lines(request: pytest.FixtureRequest) -> list[bytes]:
    return [line for line in request.param.read_bytes().split(b"\n") if line.strip()]


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    with running_app(tmp_path / "data") as running:
        yield running


def stored(app: App) -> list[event_pb2.EventRow]:
    """Every event of people's and components' that is there."""
    pems = (Path(app.ready[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        search = AuditLogServiceStub(channel).SearchEvents
        request = pb.SearchEventsRequest(page_size=50, emitter_kinds=[event_pb2.IDENTITY_KIND_USER])
        rows: list[event_pb2.EventRow] = []
        while True:
            page = search(request)
            assert page.complete
            rows += page.events
            if not page.next_page_token:
                return rows
            request.page_token = page.next_page_token


def expected(line: bytes, row: event_pb2.EventRow) -> bytes:
    """The line as it must be stored: itself, or with what it lacks inserted before its closing brace."""
    members = json.loads(line)
    inserted = b""
    if "uid" not in members:
        inserted += b',"uid":"%b"' % row.uid.encode()
    if "time" not in members:
        inserted += b',"time":"%b"' % json.loads(row.json)["time"].encode()
    return line[: line.rindex(b"}")] + inserted + line[line.rindex(b"}") :]


def user_column(members: dict[str, Any]) -> str:
    user = members.get("user", "")
    user = user.get("user") if isinstance(user, dict) else user
    return user if isinstance(user, str) else ""


def test_events_come_back_byte_for_byte(app: App, lines: list[bytes], tmp_path: Path) -> None:
    """In by the command line. The odd ones are kept too: without uid, odd uid, an object as user, an odd sid."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(lines))
    data_dir = str(app.config.data_dir)
    result = CliRunner().invoke(command, ["events", "emit", "--file", str(file), "--data-dir", data_dir])
    assert result.exit_code == 0, result.output
    rows = stored(app)
    assert len(rows) == len(lines)
    by_uid = {row.uid: row for row in rows}
    without_uid = [row for row in rows if row.uid not in {json.loads(line).get("uid") for line in lines}]
    for line in lines:
        members = json.loads(line)
        if "uid" in members:
            row = by_uid[members["uid"]]
        else:
            row = next(found for found in without_uid if expected(line, found) == found.json)
            without_uid.remove(row)
        assert row.json == expected(line, row)
        assert (row.type, row.user) == (members["event"], user_column(members))
        sid = members.get("sid")
        assert row.session_id == (sid if isinstance(sid, str) and len(sid.encode()) <= 256 else "")
    assert without_uid == []


def test_events_sent_as_structures_come_back_as_equal_json(app: App, lines: list[bytes]) -> None:
    """As grpcurl sends them: whole numbers come back without a fraction, and what can't be held exactly is refused."""
    pems = (Path(app.ready[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        emit = AuditLogServiceStub(channel).EmitEvent
        sent: dict[str, dict[str, Any]] = {}
        for line in lines:
            members = json.loads(line)
            fields = json_format.ParseDict(members, struct_pb2.Struct())
            request = pb.EmitEventRequest(event=event_pb2.EventPayload(fields=fields))
            if any(abs(number) > MAX_EXACT for number in _integers(members)):
                with pytest.raises(grpc.RpcError) as refused:
                    emit(request)
                assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                continue
            sent[emit(request).uid] = members
    rows = stored(app)
    assert len(rows) == len(sent)
    for row in rows:
        members = json.loads(row.json)
        assert members == {"uid": row.uid, "time": members["time"]} | sent[row.uid]
        assert list(_types(members)) == list(_types({"uid": "", "time": ""} | sent[row.uid]))


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _integers(child)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def _types(value: Any) -> Iterator[str]:
    """Types of all values by sorted key, so that 1 and 1.0 differ."""
    yield type(value).__name__
    if isinstance(value, dict | list):
        for child in (value[key] for key in sorted(value)) if isinstance(value, dict) else value:
            yield from _types(child)
