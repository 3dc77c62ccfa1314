"""Events of recordings, as playback takes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

BEGAN = datetime(2026, 11, 1, 9, 0, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Recorded:
    type: str
    time: datetime = BEGAN
    delay_ms: int = 0
    data: bytes = b""
    json: bytes = b""


def printed(data: bytes, ms: int = 0) -> Recorded:
    return Recorded("print", BEGAN + timedelta(milliseconds=ms), ms, data, b'{"event":"print"}')


def happened(kind: str, ms: int = 0, **fields: object) -> Recorded:
    return Recorded(kind, BEGAN + timedelta(milliseconds=ms), json=json.dumps({"event": kind, **fields}).encode())
