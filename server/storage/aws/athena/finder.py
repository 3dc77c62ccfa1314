"""The finder of one storage: its table looked at, the query written and run, and its rows read as objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from server.storage.aws.athena.executor import AthenaExecutor
from server.storage.aws.athena.query import Question
from server.storage.aws.athena.statements import COLUMNS, TableName, statement
from server.storage.aws.athena.table import LiveTable
from server.storage.aws.clients import ServiceClient
from server.storage.connection import WantedTable
from server.storage.finding import FinderFailed, Finding, FindRequest, FoundObject
from server.storage.spec import StorageSpec

_TIME: Final = "%Y-%m-%d %H:%M:%S.%f"


@dataclass(frozen=True, slots=True)
class Way:
    """The way to a storage's table as of now: what it is to be, and clients that may reach it."""

    athena: ServiceClient
    glue: ServiceClient
    spec: StorageSpec
    table: WantedTable
    account_id: str


class AthenaFinder:
    """ObjectFinder by Athena. Safe to use from several threads."""

    def __init__(
        self, connect: Callable[[], Way], executor: AthenaExecutor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`connect` gives the way as of now: roles may change. It may raise StorageError."""
        self._connect = connect
        self._executor = executor
        self._table = LiveTable(clock)

    def find(self, request: FindRequest, deadline: float) -> Finding:
        """Ask Athena; see `ObjectFinder.find`."""
        way, spec = self._connect(), None
        spec = way.spec
        dates = self._table.dates(way.glue, way.account_id, spec.glue_database, spec.glue_table, way.table, deadline)
        first, last = dates[0].isoformat(), dates[1].isoformat()
        asked = replace(request, first_date=max(first, request.first_date), last_date=min(last, request.last_date))
        if asked.first_date > asked.last_date:
            return Finding((), first, last, 0, 0)
        url = f"{spec.events}/"
        clause = statement(TableName(spec.glue_database, spec.glue_table), asked, url)
        question = Question(
            clause.sql,
            clause.parameters,
            COLUMNS,
            way.athena,
            spec.athena_workgroup,
            spec.glue_database,
            str(spec.results),
            way.account_id,
        )
        answer = self._executor.run(question, request.asked_by, deadline)
        objects = tuple(_object(row, url) for row in answer.rows)
        return Finding(objects, first, last, answer.bytes, answer.requests)


def _object(row: Sequence[str], url: str) -> FoundObject:
    path, first, last, rows = row
    try:
        if not path.startswith(url):
            raise ValueError("another place")
        return FoundObject(path.removeprefix(url), _ms(first), _ms(last), int(rows))
    except ValueError:
        raise FinderFailed("Athena's result names an object that isn't one of this storage") from None


def _ms(text: str) -> int:
    moment = datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
