"""The self-audit as one: what is noted of the service itself, on its way to the journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from server.audit_log.changes import Changes
from server.audit_log.denials import Denials
from server.audit_log.journal.journal import Journal
from server.audit_log.outbox_drain import OutboxDrain
from server.audit_log.service_log import ServiceLog
from server.state.database import StateFault

_log = logging.getLogger(__name__)
STOP_SECONDS = 10.0


class SelfAudit:
    """The traces of reads and refusals, changes, and the outbox. Lives on the event loop."""

    def __init__(self, service_log: ServiceLog, changes: Changes, outbox: OutboxDrain, journal: Journal) -> None:
        self.service_log = service_log
        self.denials = Denials(service_log)
        self.changes = changes
        self.outbox = outbox
        self._journal = journal
        self._first_sequence = 0

    async def start(self, **facts: object) -> None:
        """Bring to the journal what an earlier run left, and that this one starts; what can't be brought now waits."""
        journal = self._journal
        self._first_sequence = journal.next_sequence
        self.changes.started(**facts, log_id=journal.log_id, next_sequence=self._first_sequence)
        await self._write()
        await self.outbox.drain()

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What is to run from the start until `stop`."""
        return self.denials.run(), self.outbox.run()

    async def stop(self, **facts: object) -> None:
        """Bring what is not told yet to the journal; what can't be brought waits for the next start."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop(facts), STOP_SECONDS)

    async def _stop(self, facts: dict[str, object]) -> None:
        self.denials.stop()
        await self.denials.flush()
        if self._first_sequence:
            journal = self._journal
            sequences = {"first_sequence": self._first_sequence, "last_sequence": journal.next_sequence - 1}
            self.changes.stopped(**facts, log_id=journal.log_id, **sequences)
        await self._write()
        self.outbox.stop()
        await self.outbox.drain()

    async def _write(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(None, self.changes.write)
        except StateFault as error:
            _log.error("what the service notes of itself can't be written", exc_info=error)
