"""How storages and their history look."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.event_json import jsonable
from extaudit_cli.output import print_table, write_json
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import ConnectionTest, ExternalAuditStorage, Promotion


def print_storage(storage: ExternalAuditStorage, output: str, *, as_draft: bool = False) -> None:
    """Print a draft, or the storage in force, as a file that `storage apply` takes."""
    from extaudit_cli.storage_file import storage_document, yaml_text  # YAML, which `status` shall not load

    document = storage_document(storage, as_draft=as_draft)
    if output == "table":
        click.echo(yaml_text(document), nl=False)
    else:
        write_json(document, indent=2 if output == "json" else None)


def storage_facts(storage: ExternalAuditStorage) -> list[tuple[str, str]]:
    """What is worth knowing of a storage before anything is done with it."""
    spec, options = storage.spec, storage.options
    lock = options.object_lock_mode if options.object_lock_mode == "none" else _days(options)
    return [
        ("storage", storage.storage_id),
        ("account", f"{storage.account_id}, by the integration {spec.integration_name}"),
        ("region", spec.region),
        ("events", spec.audit_events_long_term_uri),
        ("recordings", spec.session_recordings_uri),
        ("query results", spec.athena_results_uri),
        ("Athena and Glue", f"workgroup {spec.athena_workgroup}, table {spec.glue_database}.{spec.glue_table}"),
        ("object lock", lock),
        ("retention", f"{options.retention_days} days" if options.retention_days else "for ever"),
        ("encryption", options.kms_key_arn or "SSE-S3"),
        *([("description", storage.description)] if storage.description else []),
        ("drafted", f"{time_text(storage.draft_time)} by {storage.drafter.name}"),
        ("revision", storage.revision),
        ("connection test", test_text(storage.last_test)),
    ]


def test_text(test: ConnectionTest | None) -> str:
    """A connection test in words."""
    if test is None:
        return "none of this revision"
    return f"{'passed' if test.passed else 'FAILED'} {time_text(test.test_time)}, by {test.tester.name}"


def print_history(rows: list[Promotion]) -> None:
    """Print rows of the history as a table."""
    headers = ("NUMBER", "TIME", "WHAT", "ACTIVE STORAGE", "BY", "DRAFTED BY", "TEST", "REASON")
    print_table(
        headers,
        [
            (
                str(row.number),
                time_text(row.promote_time),
                row.kind,
                row.storage_id,
                row.promoter.name,
                row.drafter.name if row.drafter else "",
                "FORCED" if row.forced else f"by {row.test.tester.name}" if row.test else "",
                row.reason,
            )
            for row in rows
        ],
        "no external audit storage was ever promoted",
    )


def history_record(row: Promotion) -> dict[str, Any]:
    """A row of the history as JSON."""
    record: dict[str, Any] = jsonable(asdict(row))
    return record


def _days(options: Any) -> str:
    return f"{options.object_lock_mode}, {options.object_lock_days} days"
