"""Recordings and uploads as commands show them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from extaudit_cli.event_json import jsonable
from extaudit_cli.output import print_facts, write_json
from extaudit_cli.text import count_text
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Recording, Upload

OUTCOMES = {
    "completed": "it is the session's recording",
    "kept_aside": "the session has another recording already; this one is kept beside it, under its upload id",
    "repeated": "the session has the same recording already",
}
"""What became of an upload, in words."""


def print_recording(recording: Recording, state: str, output: str) -> None:
    """Show a recording; `state` says what became of the upload that made it, '' where that isn't asked."""
    if output != "table":
        record = recording_record(recording) | ({"state": state} if state else {})
        write_json(record, indent=2 if output == "json" else None)
        return
    lines = [
        ("session", recording.session_id),
        ("upload", recording.upload_id),
        ("storage", recording.storage),
        ("size", f"{count_text(recording.bytes, 'byte')} in {count_text(recording.parts, 'part')}"),
        ("custody digest", recording.custody_digest),
        ("sha256", recording.sha256),
        ("uploader", f"{recording.uploader.kind} {recording.uploader.name}"),
        ("completed", time_text(recording.complete_time)),
    ]
    notes = [(recording.partial, "its end may be missing"), (recording.other_server, "another server recorded it")]
    lines += [("note", text) for holds, text in notes if holds]
    lines += [("state", f"{state}: {OUTCOMES.get(state, '')}")] if state else []
    print_facts(("COLUMN", "VALUE"), lines)


def print_upload(upload: Upload, output: str) -> None:
    """Show an upload."""
    if output != "table":
        write_json(jsonable(asdict(upload)), indent=2 if output == "json" else None)
        return
    lines = [
        ("upload", upload.upload_id),
        ("session", upload.session_id),
        ("state", upload.state),
        ("durable", count_text(upload.durable_offset, "byte")),
        ("storage", upload.storage),
        ("owner", f"{upload.owner.kind} {upload.owner.name}"),
        ("begun", time_text(upload.begin_time)),
    ]
    print_facts(("COLUMN", "VALUE"), lines)


def recording_record(recording: Recording) -> dict[str, Any]:
    """A recording as JSON."""
    record: dict[str, Any] = jsonable(asdict(recording))
    return record
