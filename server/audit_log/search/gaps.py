"""What an answer lacks, as it tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from server.audit_log.search.query import Missing, MissingReason

MOST_OF_OTHERS: Final = 200
"""Of others' objects that one answer names as missing: their number, and names of a kilobyte, are in others' hands."""

_UNNAMED: Final[Mapping[MissingReason, str]] = MappingProxyType(
    {
        MissingReason.OBJECT_MISSING: "an object that was stored isn't there",
        MissingReason.OBJECT_CHANGED: "an object was replaced, removed or changed",
        MissingReason.OBJECT_UNREADABLE: "what is stored can't be read, or can't be listed",
        MissingReason.OBJECT_ARCHIVED: "some objects are archived, and can be read once they were restored",
        MissingReason.ROWS_UNREADABLE: "some rows can't be read",
        MissingReason.RECEIPTS_UNREADABLE: "who emitted some events can't be read",
        MissingReason.OUTSIDE_TABLE: "some dates lie outside those that Athena's table has; scan reads them",
    }
)
"""What is said in place of a name and of words about it. What isn't here names no objects: ranges of sequences, which
every answer's watermark tells, periods of storages, retentions."""


def told(missing: Sequence[Missing], *, sees_all: bool) -> list[Missing]:
    """What is missing as its caller is told of it: to one who may not see every event each reason once for a storage
    and without names, as the names of objects tell the dates of events and how many there are."""
    if sees_all:
        return list(missing)
    return list(dict.fromkeys(map(_without_name, missing)))


def _without_name(missing: Missing) -> Missing:
    text = _UNNAMED.get(missing.reason)
    return missing if text is None else Missing(missing.reason, missing.storage, "", text)


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
