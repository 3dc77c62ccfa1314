"""Rotation of the signing keys as administrators ask for it, and as time does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from server.audit_log.access import Access, caller_members
from server.errors import Unavailable
from server.integrations.key_wrapping import WrongWrappingKey
from server.integrations.signing_keys import KeyMeter, SigningKeys
from server.integrations.web_identity import no_issuer
from server.state.database import StateFault
from server.state.signing_keys import SigningKey

_log = logging.getLogger(__name__)
PERIOD_SECONDS: Final = 1.0
_SHOWN_MS: Final = 30 * 86_400_000
"""How long a key that left the published set is still told of."""


class KeyRotation:
    """Rotates on request. Lives on the event loop; `keys` is None where no issuer is configured."""

    def __init__(self, keys: SigningKeys | None, now_ms: Callable[[], int]) -> None:
        self._keys = keys
        self._now_ms = now_ms

    async def rotate(self, access: Access, *, drop_old: bool, reason: str) -> list[SigningKey]:
        """Have the next key sign from now on, durably; gives the keys as they are then, newest first.

        Raises:
            FailedPrecondition: no issuer is configured; the next key isn't published for long enough.
            Aborted: another process changed the keys meanwhile.
            Unavailable: nothing is changed, or not known to be.
        """
        keys = self._keys
        if keys is None:
            raise no_issuer()
        about = {**caller_members(access), "reason": reason}
        try:
            found = await asyncio.get_running_loop().run_in_executor(
                None, lambda: keys.rotate(drop_old=drop_old, about=about)
            )
        except StateFault:
            raise Unavailable("the state database can't do it now", reason="STATE_UNAVAILABLE") from None
        except WrongWrappingKey:
            text = "nothing is rotated: the wrapping key doesn't open all signing keys; see `extaudit doctor`"
            raise Unavailable(text, reason="STATE_UNAVAILABLE") from None
        since = self._now_ms() - _SHOWN_MS
        shown = [key for key in found if key.is_published or (key.retired_ms or 0) >= since]
        return sorted(shown, key=lambda key: (key.created_ms, key.key_id), reverse=True)


class KeyUpkeep:
    """Does with the keys what is due, every PERIOD_SECONDS, on a thread. Lives on the event loop."""

    def __init__(self, keys: SigningKeys | None, meter: KeyMeter) -> None:
        self._keys = keys
        self._meter = meter
        self._stopped = asyncio.Event()
        self.problem = ""
        """Why the last look failed; '' where it didn't."""

    async def run(self) -> None:
        """Look until `stop`. A look that fails is told and tried again."""
        while not self._stopped.is_set():
            if self._keys is not None:
                await self.look(self._keys)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), PERIOD_SECONDS)

    async def look(self, keys: SigningKeys) -> None:
        """Do what is due now."""
        before = self.problem
        try:
            await asyncio.get_running_loop().run_in_executor(None, keys.look_after)
        except WrongWrappingKey as error:
            self.problem = str(error)
        except StateFault:
            self.problem = "the state database can't be read or written"
        else:
            self.problem = ""
        if self.problem:
            self._meter.rotation_failed()
            if self.problem != before:
                fields = {"reason": self.problem}
                _log.error("the signing keys can't be looked after", extra={"fields": fields})

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()
