"""What the index of recorded text is asked: statements of SQLite, each with its values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import orjson

from server.recordings.text_search.text_query import IndexedRecording, TextPosition, TextQuery
from server.storage.needles import fold

# Each condition is ours, and what a caller gives is bound.
# ruff: noqa: S608

Asked = tuple[str, tuple[object, ...]]


def lines(query: TextQuery, after: TextPosition | None, limit: int) -> Asked:
    """Lines of all recordings that may have the text, in order, beyond a position."""
    phrase = '"' + query.text.replace('"', '""') + '"'
    conditions, values = _filters(query)
    if after is not None:
        started, number, line = after.started_ms, after.recording, after.line
        conditions.append(
            "(r.started_ms < ? OR (r.started_ms = ? AND (r.number < ? OR (r.number = ? AND l.rowid > ?))))"
        )
        values += [started, started, number, number, line]
    statement = f"""
        SELECT r.started_ms, r.number, l.rowid, r.session_id, r.upload_id, r.user, l.offset_ms, l.text
        FROM lines AS l JOIN recordings AS r ON r.number = l.recording
        WHERE {" AND ".join(["lines MATCH ?", *conditions])}
        ORDER BY r.started_ms DESC, r.number DESC, l.rowid LIMIT ?"""
    return statement, (phrase, *values, limit)


def recordings(query: TextQuery, after: TextPosition | None, limit: int, sessions: Collection[str] | None) -> Asked:
    """Recordings that have lines, in order: the one of a position, if there is more of it, and those beyond it."""
    conditions, values = _filters(query)
    if sessions is not None:
        conditions.append("r.session_id IN (SELECT value FROM json_each(?))")
        values.append(orjson.dumps(sorted(sessions)).decode())
    if after is not None:
        started, number = after.started_ms, after.recording
        here = "(r.number < ? OR (r.number = ? AND r.last_line > ?))"
        conditions.append(f"r.started_ms <= ? AND (r.started_ms < ? OR {here})")
        values += [started, started, number, number, after.line]
    statement = f"""
        SELECT r.started_ms, r.number, r.first_line, r.last_line, r.session_id, r.upload_id, r.user
        FROM recordings AS r WHERE {" AND ".join(["r.last_line >= r.first_line", *conditions])}
        ORDER BY r.started_ms DESC, r.number DESC LIMIT ?"""
    return statement, (*values, limit)


def recordings_gone(gone: str, query: TextQuery, limit: int, sessions: Collection[str] | None) -> Asked:
    """Recordings of which `gone` holds, in order, by times alone: whose they were is gone as well."""
    conditions, values = _filters(replace(query, users=frozenset()))
    if sessions is not None:
        conditions.append("r.session_id IN (SELECT value FROM json_each(?))")
        values.append(orjson.dumps(sorted(sessions)).decode())
    statement = f"""
        SELECT r.session_id, r.upload_id FROM recordings AS r
        WHERE {" AND ".join(["r.note != ''", gone, *conditions])}
        ORDER BY r.started_ms DESC, r.number DESC LIMIT ?"""
    return statement, (*values, limit)


def lines_of(recording: IndexedRecording, text: str, after: TextPosition | None, limit: int) -> Asked:
    """Lines of one recording that have the text, in order, beyond a position; no others are touched."""
    first = recording.first_line
    if after is not None and after.recording == recording.number:
        first = max(first, after.line + 1)
    statement = """
        SELECT rowid, offset_ms, text FROM lines
        WHERE rowid BETWEEN ? AND ? AND recording = (SELECT number FROM recordings WHERE upload_id = ?)
            AND instr(lower(text), ?) ORDER BY rowid LIMIT ?"""
    # By upload: where the index was made anew meanwhile, the numbers are those of others.
    return statement, (first, recording.last_line, recording.upload_id, fold(text), limit)


def _filters(query: TextQuery) -> tuple[list[str], list[object]]:
    conditions, values = list[str](), list[object]()
    if query.from_ms is not None:
        conditions.append("r.started_ms >= ?")
        values.append(query.from_ms)
    if query.to_ms is not None:
        conditions.append("r.started_ms < ?")
        values.append(query.to_ms)
    if query.users:
        conditions.append(f"r.user IN ({', '.join('?' * len(query.users))})")
        values += sorted(query.users)
    return conditions, values
