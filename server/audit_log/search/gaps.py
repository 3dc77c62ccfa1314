"""What an answer lacks, as it tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from server.audit_log.search.query import Missing

MOST_OF_OTHERS: Final = 200
"""Of others' objects that one answer names as missing: their number, and names of a kilobyte, are in others' hands."""


def each_once(missing: Sequence[Missing], is_of_others: Callable[[Missing], bool]) -> list[Missing]:
    """What several found out is told in the words of the first; of others' objects so many that an answer holds it."""
    told: dict[tuple[object, ...], Missing] = {}
    of_others, left_out = 0, {}
    for each in missing:
        key = (each.reason, each.storage, each.name, each.first_sequence)
        if key not in told and is_of_others(each):
            of_others += 1
            if of_others > MOST_OF_OTHERS:
                left_out[key] = each
                continue
        told.setdefault(key, each)
    counts = Counter((each.reason, each.storage) for each in left_out.values())
    rest = [
        Missing(reason, storage, "", f"{count} objects more that others have put there aren't read; not all are named")
        for (reason, storage), count in counts.items()
    ]
    return [*told.values(), *rest]
