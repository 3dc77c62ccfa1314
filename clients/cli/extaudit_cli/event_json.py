"""Events and what comes with them as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn

from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import EventRow, Receipt


def jsonable(value: Any) -> Any:
    """Give the client's dataclasses as what `json` can write."""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: jsonable(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(member) for member in value]
    return value


def one_line_json(payload: bytes) -> bytes:
    """Give a stored payload as one line.

    Every byte stays as it is but raw newlines and carriage returns, which become spaces: within JSON they can only be
    white space between tokens.
    """
    return payload.replace(b"\n", b" ").replace(b"\r", b" ")


def row_json(row: EventRow, payload: bytes) -> bytes:
    """Give a row as a JSON object, in one line: its columns, its receipts, and the event as it is stored in `event`.

    A payload that isn't JSON (a foreign event's can be anything) is given as text in `text` instead.
    """
    columns = {
        "time": time_text(row.time),
        "type": row.type,
        "uid": row.uid,
        "session_id": row.session_id,
        "user": row.user,
        "digest": row.digest,
        "payload_size": row.payload_size,
        "receipts": [receipt_json(receipt) for receipt in row.receipts],
    }
    if not _is_json(payload):
        return json.dumps(columns | {"text": payload.decode("utf-8", "backslashreplace")}).encode()
    return json.dumps(columns).encode()[:-1] + b', "event": ' + one_line_json(payload) + b"}"


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    """Give a receipt as what `json` can write."""
    found: dict[str, Any] = jsonable(asdict(receipt))
    return found


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> NoReturn:
    """Python reads NaN and Infinity, which no JSON has."""
    raise ValueError(constant)
