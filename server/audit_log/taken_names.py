"""Names in a storage that others took: what goes out under another one, and what is told of it.

Nothing is overwritten, and nobody who can write there can keep a batch from its storage: after some names that follow
each other come such as nobody can guess.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

from server.audit_log.batch_rows import cut_of
from server.observability.alerts.alerts import Alerts
from server.service_events import NAME_TAKEN
from server.state.catalogue import Catalogue
from server.state.outbox import Outbox
from server.storage.ports import EventStorage, RecordUnreadable

_log = logging.getLogger(__name__)
RECORDS: Final = "_batches/"
ALERT: Final = "object-name-taken"
_MOST_TOLD: Final = 1_000
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
    stem, number = _split(name)
    return _numbered(stem, next_number(number))


def _split(name: str) -> tuple[str, int]:
    """The name of an object without its number, and that: 0 for the first of its names."""
    stem, number = _NAME.fullmatch(name).groups()  # type: ignore[union-attr]
    return stem, int(number or 0)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.r{number}.parquet" if number else f"{stem}.parquet"


def _numbers_before(number: int) -> range:
    """Those that come before this one, as far as they can be known."""
    return range(min(number, _GUESSABLE + 1))


class TakenNames:
    """Tells of names that others took, each at once, and keeps the alert as long as something has one of them.

    Safe to use from several threads.
    """

    def __init__(self, outbox: Outbox, alerts: Alerts) -> None:
        self._outbox = outbox
        self._alerts = alerts
        self._lock = Lock()
        self._told: dict[str, dict[str, None]] = {}
        """By storage, the names that deliveries came upon since the start and that may be taken yet, newest last."""

    def tell(self, taken: TakenName) -> None:
        """Note a taken name in the log, in an audit event, and as an alert."""
        self._outbox.record(
            {"event": NAME_TAKEN, "storage": taken.storage, "object": taken.name, "instead": taken.instead}
        )
        with self._lock:
            told = self._told.setdefault(taken.storage, {})
            told[taken.name] = None
            if len(told) > _MOST_TOLD:  # what was delivered since is known by the name it has
                del told[next(iter(told))]
            self._alerts.raise_standing(taken.storage, ALERT, taken.name)
        fields = {"storage": taken.storage, "taken": taken.name, "name": taken.instead}
        _log.error("other bytes have an object's name; it goes out under another", extra={"fields": fields})

    def look(self, storage: EventStorage, catalogue: Catalogue) -> None:
        """Raise the alert where something has a name of ours, also of before a start; clear it where nothing has any
        more. Blocks.

        Raises:
            StorageError: it can't be told now.
        """
        storage_id = storage.storage_id
        with self._lock:
            told = [*self._told.get(storage_id, ())]
        there = _one_that_is_there(storage, [*reversed(told), *_passed_over(storage_id, catalogue)])
        with self._lock:
            if there is not None:
                self._alerts.raise_standing(storage_id, ALERT, there)
            elif [*self._told.get(storage_id, ())] == told:  # else one was taken meanwhile
                self._told.pop(storage_id, None)
                self._alerts.clear_standing(storage_id, ALERT)


def _passed_over(storage_id: str, catalogue: Catalogue) -> Iterator[str]:
    """The names that weren't to be had when what is stored got its own; of those nobody can guess no more is known."""
    for item in catalogue.objects(storage_id):
        if not item.is_foreign:
            stem, number = _split(item.name)
            yield from (_numbered(stem, each) for each in _numbers_before(number))
    for batch in catalogue.batches():
        if batch.storage == storage_id:
            cut = cut_of(batch)
            yield from (RECORDS + cut.numbered_record_name(each) for each in _numbers_before(batch.record_number))


def _one_that_is_there(storage: EventStorage, names: Iterable[str]) -> str | None:
    listed: dict[str, set[str]] = {}
    for name in names:
        if name.startswith(RECORDS):
            with suppress(RecordUnreadable):  # by whoever it is, it is there
                if storage.read_record(name.removeprefix(RECORDS)) is None:
                    continue
            return name
        date = name.partition("/")[0]
        if date not in listed:  # who may list needs no key of theirs, as it would to look at the object itself
            listed[date] = {item.name for item in storage.list_date(date)}
        if name in listed[date]:
            return name
    return None
