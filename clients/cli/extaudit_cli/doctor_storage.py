"""The doctor's check of the external audit storage in force: the connection test, and what the role can't see."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final

from extaudit_client import Client, ConnectionCheck
from extaudit_client.errors import ExtauditError

from server.doctor.findings import Fact, Fault, Severity, Told, Unexamined

if TYPE_CHECKING:
    from collections.abc import Iterator

    from extaudit_cli.doctor_remote import Service
    from server.doctor.findings import Finding

FAILED: Final = Fault(
    "storage_check_failed",
    Severity.ERROR,
    "The external audit storage in force does not work, or is not as it must be.",
    "Each finding has its own remedy; docs/connection-test.md lists the checks.",
)
DRIFTED: Final = Fault(
    "storage_drifted",
    Severity.WARNING,
    "The external audit storage in force works, but differs from its plan.",
    "`extaudit storage bootstrap --stage cluster --dry-run` with an administrator's credentials shows all of it.",
)
_DEFAULT: Final = "default"
NOT_SEEN: Final = (
    "lifecycle rules, bucket policies, tags, limits of the workgroup, the role's policies: `extaudit storage bootstrap "
    "--stage cluster --dry-run` with an administrator's credentials sees them"
)


def check_storage(at: Service) -> Told:
    """Run the connection test of the storage in force, as `extaudit storage test --stage cluster` does."""
    try:
        with Client(at.connection) as client:
            status = client.status()
            active = next((each.id for each in status.storages if each.active), _DEFAULT)
            yield Fact("storage in force", status.cluster.storage_id if status.cluster is not None else active)
            if status.cluster is not None:
                yield from _test(client)
            elif active != _DEFAULT:
                raise Unexamined("your roles don't show the storage in force; it needs external_audit_storage:read")
    except ExtauditError as error:
        if error.code == "PERMISSION_DENIED":
            raise Unexamined("your roles don't allow the connection test of the storage in force") from None
        raise Unexamined(f"the service could not be asked: {error.message}") from None


def _test(client: Client) -> Iterator[Finding | Fact]:
    passed = skipped = 0
    with closing(client.storages.test("cluster")) as steps:
        for step in steps:
            if not isinstance(step, ConnectionCheck):
                continue
            if step.outcome in ("failed", "warning"):
                fault = FAILED if step.outcome == "failed" else DRIFTED
                why = "".join(f"; {each}" for each in (step.missing_action, step.aws_error_code) if each)
                yield fault.of(f"{step.name} {step.subject}", f"{step.detail}{why}", remedy=step.remedy)
            elif step.outcome == "passed":
                passed += 1
            else:
                skipped += 1
    yield Fact("checks passed", passed)
    if skipped:
        yield Fact("checks that could not be made", skipped)
    yield Fact("not looked at", NOT_SEEN)
