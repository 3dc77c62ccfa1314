"""How long a stream is waited for that says nothing: its connection, or the service, may be gone unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from extaudit_client.errors import ConnectionFailed, ExtauditError

SILENCE_SECONDS: Final = 60.0
"""Without an answer for so long a stream is taken for dead. Whoever watches is told something every 15 s."""


class Patience:
    """Cancels a call that says nothing for too long while somebody waits for it."""

    def __init__(self, call: Any, seconds: float = SILENCE_SECONDS) -> None:
        self._call = call
        self._seconds = seconds
        self._over = threading.Event()
        self._since: float | None = None
        self.failure: ExtauditError | None = None
        """Why the call was cancelled."""
        threading.Thread(target=self._look, name="extaudit-patience", daemon=True).start()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Somebody waits in the block."""
        self.begin()
        try:
            yield
        finally:
            self.pause()

    def begin(self) -> None:
        """Somebody waits from now on."""
        self._since = time.monotonic()

    def pause(self) -> None:
        """Nobody waits."""
        self._since = None

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(self._seconds / 12):
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                self.failure = ConnectionFailed(f"the service said nothing for {self._seconds:.0f} s")
                self._call.cancel()
                return
