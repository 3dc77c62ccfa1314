"""Times as exports carry them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_of(milliseconds: int) -> datetime:
    """The time so many milliseconds after the beginning of 1970, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)
