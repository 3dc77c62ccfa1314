"""Names that are as good as ones that are known: what they say would be left out in silence."""

from __future__ import annotations

from collections.abc import Collection


def meant_by(name: str, known: Collection[str]) -> str | None:
    """The known name that this was meant to be; None if it is one of them, or like none.

    Like one is what differs from it in case, in `-` for `_`, and by at most one character: another one, one too many
    or too few, or two that changed places.
    """
    if name in known:
        return None
    folded = name.casefold().replace("-", "_")
    return next((each for each in sorted(known) if _is_near(folded, each)), None)


def _is_near(a: str, b: str) -> bool:
    shorter = min(len(a), len(b))
    same = next((at for at in range(shorter) if a[at] != b[at]), shorter)
    a, b = a[same:], b[same:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2], a[2:]) == (b[1::-1], b[2:])
