"""Connection tests: checks as they end, and how the whole ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from extaudit.v1 import connection_check_pb2 as check_pb
from extaudit.v1 import external_audit_storage_service_pb2 as pb

from extaudit_client.names import CHECK_OUTCOMES, name_of, stage_value
from extaudit_client.storage_rows import ConnectionTest, test_from

TEST_SECONDS: Final = 180.0
"""The service ends a test after two minutes; what it then waits for ends soon after."""


@dataclass(frozen=True, slots=True)
class ConnectionCheck:
    """One check. `outcome` is passed, failed, warning or not_checked; docs/connection-test.md lists the names."""

    name: str
    subject: str
    outcome: str
    detail: str
    aws_error_code: str
    missing_action: str
    wrong_setting: str
    remedy: str
    aws_request_id: str
    seconds: float
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConnectionTestEnd:
    """How a test ended, as it is kept, and how many checks ended which way."""

    test: ConnectionTest
    passed: int
    failed: int
    warnings: int
    not_checked: int


def test_request(stage: str, role_arn: str) -> pb.TestConnectionRequest:
    """Ask for a test.

    Raises:
        ValueError: the stage isn't known.
    """
    return pb.TestConnectionRequest(stage=stage_value(stage), role_arn=role_arn)


def step_from(answer: pb.TestConnectionResponse) -> ConnectionCheck | ConnectionTestEnd:
    """Read a check, or the end."""
    if answer.HasField("end"):
        end = answer.end
        return ConnectionTestEnd(test_from(end.test), end.passed, end.failed, end.warnings, end.not_checked)
    return check_from(answer.check)


def check_from(check: check_pb.ConnectionCheck) -> ConnectionCheck:
    """Read a check."""
    return ConnectionCheck(
        check.name,
        check.subject,
        name_of(check.outcome, CHECK_OUTCOMES),
        check.detail,
        check.aws_error_code,
        check.missing_action,
        check.wrong_setting,
        check.remedy,
        check.aws_request_id,
        check.duration.ToTimedelta().total_seconds(),
        MappingProxyType({fact.name: fact.value for fact in check.facts}),
    )
