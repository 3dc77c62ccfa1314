"""The query that Athena is asked: which objects hold matching rows, and from when to when."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from server.storage.aws.athena.conditions import filter_clauses
from server.storage.aws.athena.literals import Clause, day, joined, text, timestamp
from server.storage.finding import FinderUnsuited, FindRequest, Place
from server.storage.query import Order

_NAME: Final = re.compile(r"[a-z0-9_]{1,255}", re.ASCII)
COLUMNS: Final = ("object", "first_time", "last_time", "rows_found")


@dataclass(frozen=True, slots=True)
class TableName:
    """A table in its database, of names as the rules of the spec take them."""

    database: str
    table: str

    @property
    def sql(self) -> str:
        """As it stands in a query.

        Raises:
            FinderUnsuited: a name isn't one that the rules would have taken.
        """
        if _NAME.fullmatch(self.database) is None or _NAME.fullmatch(self.table) is None:
            raise FinderUnsuited("the table has a name that the rules for storages don't take")
        return f'"{self.database}"."{self.table}"'


def statement(table: TableName, asked: FindRequest, url: str) -> Clause:
    """The query for objects that hold matching rows; `url` is what the URL of every object begins with.

    One row for each object, however many rows of it match: so one query is enough for all pages of a search, where a
    query for rows would read everything again for each page.

    Raises:
        FinderUnsuited: it can't be put to Athena.
    """
    first, last = day(asked.first_date), day(asked.last_date)
    dates = Clause(f"event_date BETWEEN {first.sql} AND {last.sql}", first.parameters + last.parameters)
    where = joined(" AND ", [dates, *filter_clauses(asked.filters)])
    newest_first = asked.order is Order.NEWEST_FIRST
    key, way = ("max(event_time)", "DESC") if newest_first else ("min(event_time)", "ASC")
    having = _beyond(asked.after, asked.order, key, url) if asked.after is not None else Clause("")
    sql = (
        'SELECT "$path" AS object, min(event_time) AS first_time, max(event_time) AS last_time, '  # noqa: S608
        f'count(*) AS rows_found FROM {table.sql} WHERE {where.sql} GROUP BY "$path"{having.sql} '
        f'ORDER BY {key} {way}, "$path" {way} LIMIT {int(asked.limit)}'
    )
    return Clause(sql, where.parameters + having.parameters)


def _beyond(after: Place, order: Order, key: str, url: str) -> Clause:
    """Objects beyond a place. A comparison of tuples would fail on NULL, so it is said in full."""
    sign = "<" if order is Order.NEWEST_FIRST else ">"
    time, name = timestamp(after[0]), text(url + after[1], "the name of an object")
    return Clause(
        f' HAVING {key} {sign}= {time.sql} AND ({key} {sign} {time.sql} OR "$path" {sign} {name.sql})',
        (*time.parameters * 2, *name.parameters),
    )
