"""From checks of a connection to messages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import connection_check_pb2 as pb
from extaudit.v1 import external_audit_storage_service_pb2 as service_pb
from google.protobuf.duration_pb2 import Duration

from server.external_storage.connection_tests import TestEnd
from server.grpc_api.external_storage_messages import test_message
from server.storage.connection import Check, Outcome

_OUTCOMES: Final[Mapping[Outcome, pb.ConnectionCheckOutcome.ValueType]] = MappingProxyType(
    {
        Outcome.PASSED: pb.CONNECTION_CHECK_OUTCOME_PASSED,
        Outcome.FAILED: pb.CONNECTION_CHECK_OUTCOME_FAILED,
        Outcome.WARNING: pb.CONNECTION_CHECK_OUTCOME_WARNING,
        Outcome.NOT_CHECKED: pb.CONNECTION_CHECK_OUTCOME_NOT_CHECKED,
    }
)


def step_message(step: Check | TestEnd) -> service_pb.TestConnectionResponse:
    """A check that ended, or how the test ended."""
    if isinstance(step, Check):
        return service_pb.TestConnectionResponse(check=check_message(step))
    counts = step.counts
    end = pb.ConnectionTestEnd(
        test=test_message(step.test),
        passed=counts[Outcome.PASSED],
        failed=counts[Outcome.FAILED],
        warnings=counts[Outcome.WARNING],
        not_checked=counts[Outcome.NOT_CHECKED],
    )
    return service_pb.TestConnectionResponse(end=end)


def check_message(check: Check) -> pb.ConnectionCheck:
    """One check."""
    duration = Duration()
    duration.FromNanoseconds(int(check.seconds * 1e9))
    return pb.ConnectionCheck(
        name=check.name,
        subject=check.subject,
        outcome=_OUTCOMES[check.outcome],
        detail=check.detail,
        aws_error_code=check.aws_error_code,
        missing_action=check.missing_action,
        wrong_setting=check.wrong_setting,
        remedy=check.remedy,
        aws_request_id=check.aws_request_id,
        duration=duration,
        facts=[pb.ConnectionFact(name=name, value=value) for name, value in check.facts],
    )
