"""What the log says of a change of signing keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from server.service_events import KEY_ACTIVATED, KEY_DROPPED, KEY_MADE, KEY_RETIRED, KEY_RETIRING
from server.state.signing_keys import KeyState, SigningKey


def events_of(
    before: Mapping[str, SigningKey], changed: Sequence[SigningKey], about: Mapping[str, object]
) -> list[dict[str, object]]:
    """An event for each step that a key takes; `about` (who, why) is in each of them."""
    return [
        {"event": event, **about, "key": {"id": key.key_id, "state": key.state.value}}
        for key in changed
        for event in _steps(before.get(key.key_id), key)
    ]


def _steps(before: SigningKey | None, key: SigningKey) -> Iterator[str]:
    if before is None:
        yield KEY_MADE
    if key.state is KeyState.ACTIVE:
        yield KEY_ACTIVATED
    elif key.state is KeyState.RETIRING:
        yield KEY_RETIRING
    elif key.state is KeyState.RETIRED:
        was_due = before is not None and before.state is KeyState.RETIRING and before.retired_ms == key.retired_ms
        yield KEY_RETIRED if was_due else KEY_DROPPED
