"""A table that has formats, location and columns of the plan is another one all the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from server.external_storage.planning import infrastructure_plan, wanted_table
from server.integrations.integration import RoleArn
from server.storage.aws.athena.table import differences
from server.storage.spec import StorageOptions
from tests.planned_infrastructure import spec

GLUE = infrastructure_plan(spec("a"), StorageOptions(), RoleArn("aws", "123456789012", "/", "extaudit"), "demo").glue
WANTED = wanted_table(GLUE)
PLANNED: dict[str, Any] = {
    "TableType": GLUE.table_type,
    "ViewOriginalText": "",
    "Parameters": {**dict(GLUE.parameters), "theirs": "stays"},
    "PartitionKeys": [{"Name": each.name, "Type": each.type} for each in GLUE.partition_keys],
    "StorageDescriptor": {
        "Columns": [{"Name": each.name, "Type": each.type} for each in GLUE.columns],
        "Location": GLUE.location,
        "InputFormat": GLUE.input_format,
        "OutputFormat": GLUE.output_format,
        "SerdeInfo": {
            "SerializationLibrary": GLUE.serialization_library,
            "Parameters": dict(GLUE.serialization_parameters),
        },
    },
}
OTHERS: dict[str, tuple[Callable[[dict[str, Any]], object], list[str]]] = {
    "as planned": (lambda table: None, []),
    "a column behind the others": (lambda table: columns(table).append({"Name": "more", "Type": "int"}), []),
    "a view": (
        lambda table: table.update(TableType="VIRTUAL_VIEW", ViewOriginalText="/* Presto View */"),
        ["table type", "ViewOriginalText"],
    ),
    "a link": (lambda table: table.update(TargetTable={"Name": "theirs"}), ["TargetTable"]),
    "of Iceberg": (
        lambda table: table["Parameters"].update(table_type="ICEBERG", metadata_location="s3://theirs/m.json"),
        ["table_type", "metadata_location"],
    ),
    "columns told by their places": (
        lambda table: table["StorageDescriptor"]["SerdeInfo"]["Parameters"].update(
            {"parquet.column.index.access": "true"}
        ),
        ["serialization parameters"],
    ),
    "columns in another order": (lambda table: columns(table).reverse(), ["order of columns"]),
    "a column before the others": (
        lambda table: columns(table).insert(0, {"Name": "pad", "Type": "string"}),
        ["order of columns"],
    ),
}


def columns(table: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = table["StorageDescriptor"]["Columns"]
    return found


@pytest.mark.parametrize("name", OTHERS)
def test_a_table_of_another_kind_isnt_trusted(name: str) -> None:
    change, wrong = OTHERS[name]
    table = copy.deepcopy(PLANNED)
    change(table)
    assert differences(table, WANTED) == wrong
