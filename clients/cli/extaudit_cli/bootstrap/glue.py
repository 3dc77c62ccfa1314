"""The Glue database of the plan, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from extaudit_client import ColumnPlan, GlueTablePlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsRefusal
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, Found, State, compared, compared_tags

_NO_SUCH: Final = "EntityNotFoundException"
_DATABASE_INPUT: Final = ("Name", "Description", "LocationUri", "Parameters", "CreateTableDefaultPermissions")
_TABLE_INPUT: Final = (
    "Name",
    "Description",
    "Owner",
    "Retention",
    "StorageDescriptor",
    "PartitionKeys",
    "TableType",
    "Parameters",
)


class GlueDatabase:
    """The database that the table is in."""

    name = "glue-database"
    within = ""

    def __init__(self, admin: Admin, plan: GlueTablePlan, arn: str) -> None:
        self._admin = admin
        self._plan = plan
        self._arn = arn
        self._found: dict[str, Any] = {}

    @property
    def subject(self) -> str:
        """Its name."""
        return self._plan.database

    @property
    def planned(self) -> Mapping[str, Value]:
        """Every attribute."""
        return {"description": self._plan.database_description, "tags": self._tags}

    def look(self) -> Found | None:
        """Compare description and tags."""
        answer = self._admin.find("glue", "get_database", _NO_SUCH, Name=self.subject)
        if answer is None:
            return None
        self._found = answer["Database"]
        description = compared("description", self._plan.database_description, self._found.get("Description"))
        return Found((description, self._look_tags()))

    def create(self) -> None:
        """Make it with description and tags."""
        given = {"Name": self.subject, "Description": self._plan.database_description}
        try:
            self._admin.call("glue", "create_database", DatabaseInput=given, Tags=self._tags)
        except AwsRefusal as refusal:
            refusal.also_needs("glue:TagResource")
            raise

    def change(self, attribute: Attribute) -> None:
        """Change one attribute; the rest is given back as it was found, since Glue replaces all of it."""
        if attribute.name == "tags":
            self._admin.call("glue", "tag_resource", ResourceArn=self._arn, TagsToAdd=self._tags)
            return
        kept = {key: self._found[key] for key in _DATABASE_INPUT if key in self._found}
        given = kept | {"Description": self._plan.database_description}
        self._admin.call("glue", "update_database", Name=self.subject, DatabaseInput=given)

    @property
    def _tags(self) -> dict[str, str]:
        return {tag.key: tag.value for tag in self._plan.database_tags}

    def _look_tags(self) -> Attribute:
        try:
            answer = self._admin.call("glue", "get_tags", ResourceArn=self._arn)
        except AwsRefusal as refusal:
            return Attribute("tags", State.UNKNOWN, self._tags, problem=refusal)
        return compared_tags(self._tags, answer.get("Tags", {}))


class GlueTable:
    """The table that describes the events' objects."""

    name = "glue-table"
    within = GlueDatabase.name

    def __init__(self, admin: Admin, plan: GlueTablePlan) -> None:
        self._admin = admin
        self._plan = plan
        self._found: dict[str, Any] = {}

    @property
    def subject(self) -> str:
        """Database and table."""
        return f"{self._plan.database}.{self._plan.table}"

    @property
    def planned(self) -> Mapping[str, Value]:
        """Every attribute."""
        plan = self._plan
        return {
            "type": plan.table_type,
            "location": plan.location,
            "columns": _columns(plan.columns),
            "partition-keys": _columns(plan.partition_keys),
            "input-format": plan.input_format,
            "output-format": plan.output_format,
            "serialization-library": plan.serialization_library,
            "serialization-parameters": dict(plan.serialization_parameters),
            "parameters": dict(plan.parameters),
        }

    def look(self) -> Found | None:
        """Compare; parameters of others are noted."""
        named = {"DatabaseName": self._plan.database, "Name": self._plan.table}
        answer = self._admin.find("glue", "get_table", _NO_SUCH, **named)
        if answer is None:
            return None
        self._found = answer["Table"]
        return Found(tuple(self._compared(name, value) for name, value in self._seen().items()))

    def create(self) -> None:
        """Make it with everything."""
        given: dict[str, Any] = {"Name": self._plan.table}
        for name, value in self.planned.items():
            _put(given, name, value)
        self._admin.call("glue", "create_table", DatabaseName=self._plan.database, TableInput=given)

    def change(self, attribute: Attribute) -> None:
        """Change one attribute; the rest is given back as it was found, since Glue replaces all of it."""
        given: dict[str, Any] = {key: self._found[key] for key in _TABLE_INPUT if key in self._found}
        _put(given, attribute.name, self.planned[attribute.name])
        self._admin.call("glue", "update_table", DatabaseName=self._plan.database, TableInput=given)
        self._found = given

    def _compared(self, name: str, found: Value) -> Attribute:
        planned = self.planned[name]
        if not isinstance(planned, dict):
            return compared(name, planned, found)
        ours = {key: value for key, value in found.items() if key in planned or not _stays(name, key)}
        beside = tuple(f"parameter {key!r} is beside the plan" for key in sorted(found.keys() - ours.keys()))
        return Attribute(name, State.EQUAL if ours == planned else State.DIFFERENT, planned, ours, notes=beside)

    def _seen(self) -> dict[str, Value]:
        table, stored = self._found, self._found.get("StorageDescriptor", {})
        serialization = stored.get("SerdeInfo", {})
        location = stored.get("Location")
        return {
            "type": "VIRTUAL_VIEW" if table.get("ViewOriginalText") else table.get("TableType"),
            "location": self._plan.location if (location or "").rstrip("/") == self._plan.location else location,
            "columns": _found_columns(stored.get("Columns")),
            "partition-keys": _found_columns(table.get("PartitionKeys")),
            "input-format": stored.get("InputFormat"),
            "output-format": stored.get("OutputFormat"),
            "serialization-library": serialization.get("SerializationLibrary"),
            "serialization-parameters": serialization.get("Parameters", {}),
            "parameters": table.get("Parameters", {}),
        }


_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("TableType",),
    "location": ("StorageDescriptor", "Location"),
    "columns": ("StorageDescriptor", "Columns"),
    "partition-keys": ("PartitionKeys",),
    "input-format": ("StorageDescriptor", "InputFormat"),
    "output-format": ("StorageDescriptor", "OutputFormat"),
    "serialization-library": ("StorageDescriptor", "SerdeInfo", "SerializationLibrary"),
    "serialization-parameters": ("StorageDescriptor", "SerdeInfo", "Parameters"),
    "parameters": ("Parameters",),
}
"""Attribute → where Glue has it."""


def _put(given: dict[str, Any], name: str, value: Value) -> None:
    """Put an attribute into the input of a table; parameters of others in it stay, where they may."""
    *folders, last = _PLACES[name]
    for folder in folders:
        given = given.setdefault(folder, {})
    if name in ("columns", "partition-keys"):
        value = [{"Name": column, "Type": kind} for column, kind in (each.split(" ", 1) for each in value)]
    if isinstance(value, dict):
        value = {key: each for key, each in given.get(last, {}).items() if _stays(name, key)} | value
    given[last] = value


def _stays(name: str, parameter: str) -> bool:
    """Whether a parameter of others may be beside the plan: none that says how columns are read, or has Athena take the
    table for one of Iceberg's or its like."""
    return name != "serialization-parameters" and parameter not in ("table_type", "metadata_location")


def _columns(plans: Sequence[ColumnPlan]) -> list[str]:
    """As Hive writes them: `uid string`."""
    return [f"{each.name} {each.type}" for each in plans]


def _found_columns(columns: Sequence[Mapping[str, str]] | None) -> list[str] | None:
    """As found in AWS, in the same words; None where AWS says nothing of them."""
    return None if columns is None else [f"{each['Name']} {each.get('Type', '')}" for each in columns]
