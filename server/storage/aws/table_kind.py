"""What kind of thing a Glue table is, for those who ask Athena and for the connection test."""

from __future__ import annotations

from typing import Any, Final

from server.storage.connection import WantedTable

_OF_ANOTHER_KIND: Final = ("ViewOriginalText", "TargetTable", "FederatedTable")
"""What Glue says of a table that is a view, or stands for another one."""
_SAYS_ANOTHER_KIND: Final = ("table_type", "metadata_location")
"""Parameters by which Athena takes a table for one of Iceberg's or its like, which say themselves where objects are."""


def differences_in_kind(table: dict[str, Any], wanted: WantedTable) -> list[str]:
    """What makes a table another kind of thing than planned, or has its columns taken for each other, though formats
    and location be the planned ones: a view, a link, a table of Iceberg's, columns that are told by their places."""
    stored, parameters = table.get("StorageDescriptor") or {}, table.get("Parameters") or {}
    names = tuple(name for name, _ in columns_told(stored.get("Columns")))
    wanted_names = tuple(name for name, _ in wanted.columns)
    told = (stored.get("SerdeInfo") or {}).get("Parameters") or {}
    planned = dict(wanted.serialization_parameters)
    wrong = {
        "table type": table.get("TableType") != wanted.table_type,
        **{name: bool(table.get(name)) for name in _OF_ANOTHER_KIND},
        **{name: name in parameters for name in _SAYS_ANOTHER_KIND},
        "serialization parameters": told != planned,
        "order of columns": names[: len(wanted_names)] != wanted_names and set(wanted_names) <= set(names),
    }
    return [name for name, is_so in wrong.items() if is_so]


def columns_told(told: list[dict[str, Any]] | None) -> tuple[tuple[str, str], ...]:
    """Name and type of each column, as Glue lists them."""
    return tuple((str(each.get("Name")), str(each.get("Type"))) for each in told or ())
