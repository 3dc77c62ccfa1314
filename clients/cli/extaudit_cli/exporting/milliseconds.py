"""Times as exports carry them: milliseconds since the beginning of 1970."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import ExportedEvents

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_texts(times: Iterable[int]) -> Iterator[str]:
    """Each time as RFC 3339 in UTC. Many are of the same second, whose text is made once."""
    second, text = None, ""
    for milliseconds in times:
        seconds, rest = divmod(milliseconds, 1000)
        if seconds != second:
            second, text = seconds, time_text(_EPOCH + timedelta(seconds=seconds)).removesuffix("000Z")
        yield f"{text}{rest:03d}Z"


def received_texts(events: ExportedEvents) -> list[str]:
    """When each event was received; '' where the receipt can't be read."""
    texts = zip(time_texts(events.received_ms), events.received_ms, strict=True)
    return [text if milliseconds else "" for text, milliseconds in texts]
