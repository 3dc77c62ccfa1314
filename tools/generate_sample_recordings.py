"""Writes the recordings that go with the sample events of the command line; `--check` says whether they are fresh.

Three sessions: an interactive shell, a command that fails, a database session. Fresh is what unpacks to the same
events, since each version of zlib packs them differently.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from extaudit.recording.v1 import recorded_event_pb2 as pb
from google.protobuf.message import Message

from server.recordings.format.reader import read_recording
from server.recordings.format.recorded_event import RecordedEvent
from server.recordings.format.wire import LENGTH, packed_varint
from server.recordings.format.writer import RecordingWriter
from tools.sample_terminals import FAILED, QUERIES, SHELL

CLI = Path(__file__).resolve().parent.parent / "clients/cli/extaudit_cli"
EVENTS = CLI / "sample-events.jsonl"
RECORDINGS = CLI / "sample-recordings"

# What goes to the audit log alone.
UNRECORDED = {"session.data", "session.upload", "session.recording.access"}
POSTGRES_BIND = 62
MESSAGES: dict[str, type[Message]] = {
    "session.start": pb.SessionStart,
    "session.end": pb.SessionEnd,
    "session.join": pb.SessionJoin,
    "session.leave": pb.SessionLeave,
    "session.command": pb.SessionCommand,
    "session.disk": pb.SessionDisk,
    "session.network": pb.SessionNetwork,
    "resize": pb.Resize,
    "db.session.start": pb.DatabaseSessionStart,
    "db.session.end": pb.DatabaseSessionEnd,
    "db.session.query": pb.DatabaseSessionQuery,
    "db.session.query.failed": pb.DatabaseSessionQuery,
}

Keys = dict[str, Any]


def recordings() -> dict[str, bytes]:
    """Make every recording, by its session id."""
    events = [json.loads(line) for line in EVENTS.read_bytes().splitlines()]
    between = {
        "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4": (prints, SHELL),
        "7b0d5c1e-93a4-4d0b-8c55-2f6e1a9d4470": (prints, FAILED),
        "2b164095-6f02-424f-9f4e-2166ede18709": (queries, QUERIES),
    }
    made = {}
    for session_id, (messages, texts) in between.items():
        lines = [keys for keys in events if keys.get("sid") == session_id and keys["event"] not in UNRECORDED]
        made[session_id] = woven(lines, messages(texts, lines))
    return made


def woven(lines: list[Keys], between: list[Message]) -> bytes:
    """Write a session's lines, and between them, as their indexes leave room, the other events."""
    writer, recording = RecordingWriter(), b""
    for keys in lines:
        while writer.next_index < keys["ei"]:
            recording += writer.add(between.pop(0))
        message = MESSAGES.get(keys["event"], pb.OtherEvent)()
        fill(message, {"success": True} | keys)
        if isinstance(message, pb.OtherEvent):
            body = message.SerializeToString(deterministic=True)
            recording += writer.add_record(packed_varint(POSTGRES_BIND << 3 | LENGTH) + packed_varint(len(body)) + body)
            writer.next_index += 1
        else:
            recording += writer.add(message)
    if between:
        raise ValueError(f"the lines leave no room for {len(between)} of the other events")
    return recording + writer.finish()


def prints(texts: list[tuple[float, str]], lines: list[Keys]) -> list[Message]:
    """Give a terminal's output as the events that Teleport records of it."""
    messages: list[Message] = []
    offset = 0
    for number, (seconds, text) in enumerate(texts):
        message = pb.SessionPrint(data=text.encode(), chunk_index=number, offset=offset)
        message.bytes = len(message.data)
        message.delay_milliseconds = round(seconds * 1000)
        message.metadata.type = "print"
        message.metadata.time.FromNanoseconds(nanoseconds(lines[0]["time"]) + message.delay_milliseconds * 10**6)
        offset += message.bytes
        messages.append(message)
    return messages


def queries(texts: list[tuple[float, str]], lines: list[Keys]) -> list[Message]:
    """Give further queries of a database session, each like the one among the lines."""
    (like,) = (keys for keys in lines if keys["event"] == "db.session.query")
    messages: list[Message] = []
    for number, (seconds, text) in enumerate(texts):
        message = pb.DatabaseSessionQuery()
        uid = f"5c1f3c0e-7a1b-4d55-8e0e-0000000000{number:02}"
        fill(message, like | {"success": True, "db_query": text, "uid": uid})
        message.metadata.time.FromNanoseconds(nanoseconds(lines[0]["time"]) + round(seconds * 1000) * 10**6)
        messages.append(message)
    return messages


def fill(message: Any, keys: Keys) -> None:
    """Set the fields that the keys name; what is flat in JSON goes into its own message."""
    for field in message.DESCRIPTOR.fields:
        value = keys.get(field.json_name)
        if field.message_type is not None and field.message_type.name == "Timestamp":
            if value is not None:
                getattr(message, field.name).FromNanoseconds(nanoseconds(value))
        elif field.message_type is not None and field.message_type.name.endswith(("Metadata", "Status")):
            part = type(getattr(message, field.name))()
            fill(part, keys)
            if part.ByteSize():
                getattr(message, field.name).CopyFrom(part)
        elif isinstance(value, list):
            getattr(message, field.name).extend(value)
        elif isinstance(value, dict):
            getattr(message, field.name).update(value)
        elif value is not None:
            setattr(message, field.name, value)


def nanoseconds(time: str) -> int:
    """Read RFC 3339 in UTC, exactly."""
    decimals = time[len("2026-11-01T09:02:11.") : -1]
    seconds = datetime.fromisoformat(time[: len("2026-11-01T09:02:11")] + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(decimals.ljust(9, "0"))


def stale() -> list[str]:
    """Name the recordings whose files hold other events."""
    wanted = {f"{session_id}.tar": events_of(recording) for session_id, recording in recordings().items()}
    there = {path.name: events_of(path.read_bytes()) for path in RECORDINGS.glob("*")}
    return sorted(name for name in wanted | there if wanted.get(name) != there.get(name))


def events_of(recording: bytes) -> list[bytes]:
    """Give a recording's records."""
    return [item.raw for item in read_recording([recording]) if isinstance(item, RecordedEvent)]


def main() -> int:
    """Write or check; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when the recordings aren't fresh")
    if parser.parse_args().check:
        names = stale()
        if names:
            print("sample recordings are stale; run: make samples", *names, sep="\n  ", file=sys.stderr)
        return bool(names)
    RECORDINGS.mkdir(exist_ok=True)
    for session_id, recording in recordings().items():
        (RECORDINGS / f"{session_id}.tar").write_bytes(recording)
    return 0


if __name__ == "__main__":
    sys.exit(main())
