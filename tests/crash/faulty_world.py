"""A service whose way to S3 fails as planned, with an External Audit Storage in force."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from extaudit_client import Client, StorageSpec
from extaudit_client.retries import Retries
from extaudit_client.statuses import StorageStatus

from server.config import JournalSection
from tests.external_world import World, a_faulty_account
from tests.fault_proxy.exchange import Fault
from tests.fault_proxy.plan import Planned, Where
from tests.fault_proxy.running import FaultProxy
from tests.polling import until

NOW_AND_THEN = JournalSection(cut_age_seconds=0.5)


@dataclass(frozen=True)
class Case:
    """A fault, what it befalls, and how often."""

    fault: Fault
    where: tuple[Where, ...]
    first: int = 1
    times: int = 1


@dataclass(frozen=True)
class FaultyWorld:
    """What the tests of faults share."""

    world: World
    proxy: FaultProxy
    spec: StorageSpec
    storage: str

    @contextmanager
    def serving(self, **sections: Any) -> Iterator[Client]:
        """The service in this process, with a client of it that leaves retries to its caller."""
        with self.world.serving(journal=NOW_AND_THEN, **sections), self.world.client(Retries(attempts=0)) as client:
            yield client

    def switch(self, client: Client, *, there: bool) -> None:
        """Have the storage come into force, or go back to the default one."""
        self.world.switch(client, self.spec, there=there)

    def plan(self, case: Case) -> Planned:
        """Have it happen."""
        return self.proxy.plan(case.fault, *case.where, first=case.first, times=case.times)

    def state(self, client: Client) -> StorageStatus:
        """The storage's."""
        return next(each for each in client.status().storages if each.id == self.storage)

    def until_drained(self, client: Client) -> None:
        """Return once more is delivered than now, nothing fails, and what waits now is delivered; more may come."""
        before, began = self.state(client).objects, time.monotonic()

        def is_drained() -> bool:
            state = self.state(client)
            waits_since = time.monotonic() - state.oldest_pending_age
            return state.objects > before and not state.last_delivery_error and waits_since > began

        until(is_drained, 120)

    def until_delivered(self, client: Client) -> None:
        """Return once nothing waits for the storage."""
        until(lambda: self.state(client).pending_events == 0)


@contextmanager
def a_faulty_world(folder: Path) -> Iterator[FaultyWorld]:
    """Until the end of the block. Nothing fails yet, and no service is up."""
    with a_faulty_account(folder) as (world, proxy):
        with world.serving(), world.client() as client:
            draft = world.set_up(client)
            storage = client.storages.promote(draft.revision, force=True, reason="the test's subject").storage_id
        yield FaultyWorld(world, proxy, draft.spec, storage)
