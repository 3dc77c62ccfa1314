"""When signing keys are made, begin to sign, retire and leave the published set. Decides only; knows no state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from server.state.signing_keys import KeyState, SigningKey

TOKEN_MS: Final = 3_600_000
"""How long a token is good for."""
MARGIN_MS: Final = 600_000
"""How much longer its key stays published: clocks differ, and whoever verifies may be slow."""
MAX_PUBLISHED: Final = 32
"""AWS takes no more than 100 keys in a set."""
Make = Callable[[], SigningKey]
"""Makes a key in state `NEXT`; takes a third of a second."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How often keys change, in ms."""

    rotation_ms: int
    """Age at which the active key is rotated."""
    publish_ahead_ms: int
    """How long a key is published before it signs, so that nobody refuses it by an older copy of the set."""
    retiring_ms: int = TOKEN_MS + MARGIN_MS
    """How long a key stays published once it signs no more."""


def active_of(keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key that signs; None before the first is made."""
    return next((key for key in keys if key.state is KeyState.ACTIVE), None)


def next_of(keys: Sequence[SigningKey]) -> SigningKey | None:
    """The key that signs after it."""
    return next((key for key in keys if key.state is KeyState.NEXT), None)


def ready_ms(keys: Sequence[SigningKey], schedule: Schedule) -> int | None:
    """From when on the next key may sign; None where there is none."""
    following = next_of(keys)
    return None if following is None else following.created_ms + schedule.publish_ahead_ms


def has_room(keys: Sequence[SigningKey]) -> bool:
    """Whether the published set may grow by a key."""
    return sum(key.is_published for key in keys) < MAX_PUBLISHED


def due(keys: Sequence[SigningKey], now_ms: int, schedule: Schedule, make: Make) -> list[SigningKey]:
    """What the time alone changes, as the keys that are new or other than before; nothing where all is as it should be.

    The first key signs at once: nobody has an older copy of the set.
    """
    gone = [
        replace(key, state=KeyState.RETIRED)
        for key in keys
        if key.state is KeyState.RETIRING and (key.retired_ms or 0) <= now_ms
    ]
    active, ready = active_of(keys), ready_ms(keys, schedule)
    if active is None:
        return [*gone, replace(next_of(keys) or make(), state=KeyState.ACTIVE, activated_ms=now_ms), make()]
    if ready is None:
        return [*gone, make()]
    old = (active.activated_ms or 0) + schedule.rotation_ms <= now_ms
    if old and ready <= now_ms and has_room(keys):
        return [*gone, *rotated(keys, now_ms, schedule, make)]
    return gone


def rotated(keys: Sequence[SigningKey], now_ms: int, schedule: Schedule, make: Make) -> list[SigningKey]:
    """The keys that change where the next one takes over and the active one stays published for what it signed."""
    return [
        *(
            replace(key, state=KeyState.RETIRING, wrapped_key="", retired_ms=now_ms + schedule.retiring_ms)
            for key in keys
            if key.state is KeyState.ACTIVE
        ),
        *_taken_over(keys, now_ms, make),
    ]


def dropped(keys: Sequence[SigningKey], now_ms: int, make: Make) -> list[SigningKey]:
    """The keys that change where every key that has signed is published no more."""
    return [
        *(
            replace(key, state=KeyState.RETIRED, wrapped_key="", retired_ms=now_ms)
            for key in keys
            if key.state in (KeyState.ACTIVE, KeyState.RETIRING)
        ),
        *_taken_over(keys, now_ms, make),
    ]


def _taken_over(keys: Sequence[SigningKey], now_ms: int, make: Make) -> list[SigningKey]:
    following = next_of(keys) or make()
    return [replace(following, state=KeyState.ACTIVE, activated_ms=now_ms), make()]
