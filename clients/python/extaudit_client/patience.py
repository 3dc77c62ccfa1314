"""How long a stream is waited for that says nothing: its connection, or the service, may be gone unseen."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc

from extaudit_client.errors import ConnectionFailed, ExtauditError, from_rpc

SILENCE_SECONDS: Final = 60.0
"""Without an answer for so long a stream is taken for dead. Whoever watches is told something every 15 s."""
RECORDING_SILENCE_SECONDS: Final = 300.0
"""The same of a recording's bytes, which the service may have to fetch from afar, or send there, part by part."""


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

    @property
    def waited(self) -> float:
        """Seconds since somebody waits; 0 where nobody does."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def end(self) -> None:
        """Look no more."""
        self._over.set()

    def _look(self) -> None:
        while not self._over.wait(self._seconds / 12):
            if self.waited > self._seconds:
                self.failure = ConnectionFailed(f"the service said nothing for {self._seconds:.0f} s")
                self._call.cancel()
                return


def patiently(call: Any, seconds: float) -> Generator[Any, None, None]:
    """Give a call's answers, and cancel it in the end, or when it says nothing for so long while one is waited for.

    Raises:
        ExtauditError: it failed, or said nothing.
    """
    answers, patience = iter(call), Patience(call, seconds)
    try:
        while True:
            with patience.waiting():
                answer = next(answers, None)
            if answer is None:
                return
            yield answer
    except grpc.RpcError as error:
        raise patience.failure or from_rpc(error) from None
    finally:
        patience.end()
        call.cancel()
