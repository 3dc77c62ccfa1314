"""Names in a storage that others took: what goes out under another one, and what is told of it.

Nothing is overwritten, and nobody who can write there can keep a batch from its storage: after some names that follow
each other come such as nobody can guess.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from server.observability.alerts.alerts import Alerts
from server.service_events import NAME_TAKEN
from server.state.outbox import Outbox

_log = logging.getLogger(__name__)
RECORDS: Final = "_batches/"
_GUESSABLE: Final = 9
_NAME = re.compile(r"(.*?)(?:\.r(\d+))?\.parquet")


@dataclass(frozen=True, slots=True)
class TakenName:
    """A name that other bytes have, and the one that is tried instead; both below the storage's events."""

    storage: str
    name: str
    instead: str


def next_number(number: int) -> int:
    """The number of the name that comes after those up to `number`, which are taken."""
    return number + 1 if number < _GUESSABLE else 10**9 + secrets.randbelow(10**17)


def next_name(name: str) -> str:
    """The name of an object that comes after this one, which is taken."""
    stem, number = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
    return f"{stem}.r{next_number(int(number or 0))}.parquet"


def telling_of(outbox: Outbox, alerts: Alerts) -> Callable[[TakenName], None]:
    """What notes a taken name in the log, in an audit event, and as an alert that stands until the next start."""

    def tell(taken: TakenName) -> None:
        outbox.record({"event": NAME_TAKEN, "storage": taken.storage, "object": taken.name, "instead": taken.instead})
        alerts.raise_standing(taken.storage, "object-name-taken", taken.name)
        fields = {"storage": taken.storage, "taken": taken.name, "name": taken.instead}
        _log.error("other bytes have an object's name; it goes out under another", extra={"fields": fields})

    return tell
