"""Ranges of sequences, of which both ends belong to them."""

from __future__ import annotations

from collections.abc import Iterable


def rest(first: int, last: int, settled: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of first..last isn't in the ranges, which may come in any order, as ranges."""
    found = []
    for start, end in sorted(settled):
        if start > last:
            break
        if start > first:
            found.append((first, start - 1))
        first = max(first, end + 1)
    return [*found, (first, last)] if first <= last else found
