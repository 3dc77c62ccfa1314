"""The Glue table, as it describes the events to Athena: column by column, and where it looks for which dates."""

from __future__ import annotations

from typing import Any, Final

from server.storage.aws.checks.findings import Findings
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.projection import RANGE, covers, is_as_planned
from server.storage.aws.table_kind import differences_in_kind
from server.storage.connection import Wanted

EXISTS: Final = "table.exists"
COLUMN: Final = "table.column"
PARTITION: Final = "table.partition-key"
LOCATION: Final = "table.location"
FORMAT: Final = "table.format"
PROJECTION: Final = "table.projection"
VERSIONS: Final = "table.versions"
VERSION: Final = "table.version"
OF_TABLES: Final = (EXISTS, COLUMN, PARTITION, LOCATION, FORMAT, PROJECTION, VERSIONS, VERSION)

_BOOTSTRAP: Final = "`extaudit storage bootstrap` with administrator's credentials shows what differs and sets it."


def not_checked(wanted: Wanted, why: str, findings: Findings, *names: str) -> None:
    """Tell that these checks of the table, or all, could not be made."""
    subject = f"{wanted.spec.glue_database}.{wanted.spec.glue_table}"
    of_columns = {COLUMN: wanted.table.columns, PARTITION: wanted.table.partition_keys}
    for name in names or OF_TABLES:
        columns = [f"{subject}.{column}" for column, _ in of_columns.get(name, ())]
        for each in columns or [subject]:
            findings.not_checked(name, each, why)


def check_table(clients: AwsClients, wanted: Wanted, findings: Findings) -> bool:
    """Tell of the table; False where Athena can't read it."""
    spec = wanted.spec
    subject = f"{spec.glue_database}.{spec.glue_table}"
    at = {"CatalogId": wanted.account_id, "DatabaseName": spec.glue_database}
    try:
        table = clients.glue.get_table(**at, Name=spec.glue_table)["Table"]
    except AwsError as error:
        missing = error.kind is Kind.MISSING
        findings.refused(
            EXISTS, subject, error, setting="table" if missing else "",
            remedy="`extaudit storage bootstrap` makes database and table." if missing else "",
        )  # fmt: skip
        not_checked(wanted, "The table could not be read.", findings, COLUMN, PARTITION, LOCATION, FORMAT, PROJECTION)
        there = False
    else:
        findings.passed(EXISTS, subject, "It is there.")
        _check_described(table, wanted, subject, findings)
        there = True
    _check_versions(clients, at, wanted, subject, findings)
    return there


def _check_described(table: dict[str, Any], wanted: Wanted, subject: str, findings: Findings) -> None:
    stored = table.get("StorageDescriptor") or {}
    _check_columns(COLUMN, wanted.table.columns, stored.get("Columns") or [], subject, findings)
    _check_columns(PARTITION, wanted.table.partition_keys, table.get("PartitionKeys") or [], subject, findings)
    _check_location(str(stored.get("Location") or ""), wanted, subject, findings)
    _check_format(table, wanted, subject, findings)
    _check_projection(table.get("Parameters") or {}, wanted, subject, findings)


def _check_columns(
    name: str, wanted: tuple[tuple[str, str], ...], told: list[dict[str, Any]], subject: str, findings: Findings
) -> None:
    types = {str(each.get("Name")): str(each.get("Type")) for each in told}
    for column, of_type in wanted:
        of = f"{subject}.{column}"
        if types.get(column) == of_type:
            findings.passed(name, of, f"It is {of_type}.")
        else:
            found = f"It is {types[column]}" if column in types else "It is missing"
            findings.failed(
                name, of, f"{found}, and must be {of_type}.", setting="column type" if column in types else "column",
                remedy=_BOOTSTRAP,
            )  # fmt: skip
    for column in sorted(types.keys() - dict(wanted).keys())[:20]:
        findings.warning(
            name,
            f"{subject}.{column}",
            "It is not planned; events have no such column.",
            setting="column",
            remedy=_BOOTSTRAP,
        )


def _check_location(told: str, wanted: Wanted, subject: str, findings: Findings) -> None:
    if told.rstrip("/") == wanted.table.location.rstrip("/"):
        findings.passed(LOCATION, subject, f"It is at {told}.", location=told)
        return
    findings.failed(
        LOCATION, subject, f"It is at {told or 'no place'}, and events are at {wanted.table.location}.",
        setting="location", remedy=_BOOTSTRAP, location=told,
    )  # fmt: skip


def _check_format(table: dict[str, Any], wanted: Wanted, subject: str, findings: Findings) -> None:
    stored, planned = table.get("StorageDescriptor") or {}, wanted.table
    told = {
        "input format": (stored.get("InputFormat"), planned.input_format),
        "output format": (stored.get("OutputFormat"), planned.output_format),
        "serialization library": (
            (stored.get("SerdeInfo") or {}).get("SerializationLibrary"), planned.serialization_library,
        ),
    }  # fmt: skip
    wrong = [name for name, (found, needed) in told.items() if found != needed]
    wrong += differences_in_kind(table, planned)
    if not wrong:
        findings.passed(FORMAT, subject, "It is read as Parquet.")
        return
    findings.failed(
        FORMAT, subject, f"It is not read as the planned Parquet: {', '.join(wrong)} differ from the plan.",
        setting=wrong[0], remedy=_BOOTSTRAP,
    )  # fmt: skip


def _check_projection(parameters: dict[str, Any], wanted: Wanted, subject: str, findings: Findings) -> None:
    planned = {name: value for name, value in wanted.table.parameters if name.startswith(("projection.", "storage."))}
    told = {name: str(parameters.get(name) or "") for name in planned}
    facts = {"range": told.get(RANGE, "")}
    wrong = [name for name in sorted(planned) if not _is_fit(name, told[name], planned[name])]
    if not wrong:
        findings.passed(PROJECTION, subject, f"It has every date that events may have: {told[RANGE]}.", **facts)
        return
    said = "; ".join(f"{name} is {told[name] or 'missing'}, and must be {planned[name]}" for name in wrong)
    if wrong == [RANGE]:
        has = told[RANGE] or "missing"
        said = f"The range of dates, {has}, leaves out some that events may have, and Athena does not see their events"
        said = f"{said}; planned is {planned[RANGE]}"
    findings.failed(PROJECTION, subject, f"{said}.", setting=wrong[0], remedy=_BOOTSTRAP, **facts)


def _is_fit(name: str, told: str, planned: str) -> bool:
    return covers(told, planned) if name == RANGE else is_as_planned(name, told, planned)


def _check_versions(clients: AwsClients, at: dict[str, str], wanted: Wanted, subject: str, findings: Findings) -> None:
    named = {**at, "TableName": wanted.spec.glue_table}
    version = None
    try:
        versions = clients.glue.get_table_versions(**named, MaxResults=1).get("TableVersions") or []
    except AwsError as error:
        findings.refused(VERSIONS, subject, error)
    else:
        version = str(versions[0].get("VersionId")) if versions else None
        findings.passed(VERSIONS, subject, "Versions of its description can be listed.")
    try:
        # Where none is listed any number will do: what is asked is whether the role may.
        told = clients.glue.get_table_version(**named, VersionId=version or "1")
    except AwsError as error:
        if error.kind is Kind.MISSING:
            findings.passed(VERSION, subject, "Glue looked for a version of its description; there is none.")
        else:
            findings.refused(VERSION, subject, error)
        return
    at_time = ((told.get("TableVersion") or {}).get("Table") or {}).get("UpdateTime")
    facts = {"version": version or "", "updated": at_time.isoformat() if at_time is not None else ""}
    findings.passed(VERSION, subject, "A version of its description was read.", **facts)
