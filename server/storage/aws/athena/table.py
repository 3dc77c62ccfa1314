"""The live table, held against what is planned before anything is asked of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date
from typing import Any, Final

from server.storage.aws.clients import ServiceClient
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.projection import RANGE, date_range, is_as_planned
from server.storage.aws.table_kind import columns_told, differences_in_kind
from server.storage.connection import WantedTable
from server.storage.finding import FinderFailed, FinderUnsuited
from server.storage.ports import ScanTimeout

FRESH_SECONDS: Final = 60.0

Dates = tuple[date, date]
"""First and last, both inclusive."""


class LiveTable:
    """What Glue says of one table, at most FRESH_SECONDS old. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, WantedTable, Dates] | None = None

    def dates(
        self, glue: ServiceClient, account_id: str, database: str, name: str, wanted: WantedTable, deadline: float
    ) -> Dates:
        """The dates that Athena looks for objects of, if the table is as planned.

        Raises:
            FinderUnsuited: it isn't; the text names what differs. FinderFailed: it can't be told.
            ScanTimeout: others ask already, and had no answer by `deadline` (of time.monotonic).
        """
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise ScanTimeout
        try:
            now, known = self._clock(), self._known
            if known is not None and now - known[0] < FRESH_SECONDS and known[1] == wanted:
                return known[2]
            dates = _trusted(_described(glue, account_id, database, name), wanted)
            self._known = now, wanted, dates
            return dates
        finally:
            self._lock.release()


def _described(glue: ServiceClient, account_id: str, database: str, name: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = glue.get_table(CatalogId=account_id, DatabaseName=database, Name=name)["Table"]
    except AwsError as error:
        if error.kind is Kind.MISSING:
            raise FinderUnsuited("the table of events isn't there") from error
        raise FinderFailed(str(error)) from error
    return table


def _trusted(table: dict[str, Any], wanted: WantedTable) -> Dates:
    wrong = differences(table, wanted)
    if wrong:
        raise FinderUnsuited(f"the table isn't as planned: {', '.join(wrong)}; storage bootstrap shows and mends it")
    dates = date_range(str((table.get("Parameters") or {}).get(RANGE) or ""))
    if dates is None:
        raise FinderUnsuited(f"the table isn't as planned: {RANGE} can't be read")
    return dates


def differences(table: dict[str, Any], wanted: WantedTable) -> list[str]:
    """What of a table isn't as planned and changes which events Athena reads, or as what; the range of dates apart."""
    stored = table.get("StorageDescriptor") or {}
    parameters = table.get("Parameters") or {}
    columns, keys = columns_told(stored.get("Columns")), columns_told(table.get("PartitionKeys"))
    wrong = [f"column {name}" for name, kind in wanted.columns if dict(columns).get(name) != kind]
    if keys != wanted.partition_keys:
        wrong.append("partition keys")
    if str(stored.get("Location") or "").rstrip("/") != wanted.location.rstrip("/"):
        wrong.append("location")
    formats = {
        "input format": (stored.get("InputFormat"), wanted.input_format),
        "output format": (stored.get("OutputFormat"), wanted.output_format),
        "serialization library": (
            (stored.get("SerdeInfo") or {}).get("SerializationLibrary"),
            wanted.serialization_library,
        ),
    }
    wrong += [name for name, (told, planned) in formats.items() if told != planned]
    wrong += differences_in_kind(table, wanted)
    wrong += [
        name
        for name, planned in wanted.parameters
        if name.startswith(("projection.", "storage.")) and name != RANGE
        if not is_as_planned(name, str(parameters.get(name) or ""), planned)
    ]
    return wrong
