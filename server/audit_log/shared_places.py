"""Places for what may be under way at once, of which no caller gets all."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

from rbac.identities import Identity
from server.errors import ResourceExhausted

_LEFT_TO_OTHERS: Final = 4
"""One of so many places is left to others than the caller who has the rest."""
_RETRY_SECONDS: Final = 1.0


class SharedPlaces:
    """A number of places, each held from when a call comes until it has its answer. Lives on the event loop."""

    def __init__(self, most: int, refusal: str) -> None:
        """`refusal` is what is told to whom there is no place for."""
        self.most = most
        self.most_of_caller = most - most // _LEFT_TO_OTHERS
        self.taken = 0
        self._refusal = refusal
        self._of_callers: Counter[tuple[str, str, str]] = Counter()

    @contextlib.contextmanager
    def place(self, caller: Identity) -> Iterator[None]:
        """A place for a caller, while the block runs.

        Raises:
            ResourceExhausted: all are taken, or the caller's share is.
        """
        key = caller.key
        for taken, most in ((self.taken, self.most), (self._of_callers[key], self.most_of_caller)):
            if taken >= most:
                details = {"most": str(most)}
                raise ResourceExhausted(self._refusal, reason="OVERLOADED", retry_after=_RETRY_SECONDS, **details)
        self.taken += 1
        self._of_callers[key] += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._of_callers[key] -= 1
            if not self._of_callers[key]:
                del self._of_callers[key]
