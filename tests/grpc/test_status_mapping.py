"""Errors to statuses, row by row."""

from __future__ import annotations

import grpc
import pytest
from extaudit.v1 import error_reason_pb2
from google.rpc import error_details_pb2

from server import errors
from server.errors import AuditStoreError, Violation
from server.grpc_api.status import CODES, UnknownMethod, status_of

Codes = grpc.StatusCode

ROWS = [
    (
        errors.InvalidRequest([Violation("a", "b")]),
        Codes.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        "a: b",
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="a", description="b")]
        ),
    ),
    (
        errors.InvalidRequest([Violation("page_token", "b")], reason="INVALID_PAGE_TOKEN"),
        Codes.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        "page_token: b",
        error_details_pb2.BadRequest(
            field_violations=[error_details_pb2.BadRequest.FieldViolation(field="page_token", description="b")]
        ),
    ),
    (errors.Unauthenticated("who"), Codes.UNAUTHENTICATED, "UNAUTHENTICATED", "who", None),
    (
        errors.Unauthenticated("old", reason="CERTIFICATE_EXPIRED"),
        Codes.UNAUTHENTICATED,
        "CERTIFICATE_EXPIRED",
        "old",
        None,
    ),
    (errors.DataLoss("changed"), Codes.DATA_LOSS, "RECORDING_DAMAGED", "changed", None),
    (errors.PermissionDenied("no"), Codes.PERMISSION_DENIED, "ACCESS_DENIED", "no", None),
    (
        errors.NotFound("none", resource_name="u"),
        Codes.NOT_FOUND,
        "NOT_FOUND",
        "none",
        error_details_pb2.ResourceInfo(resource_type="event", resource_name="u", description="none"),
    ),
    (
        errors.AlreadyExists("there is one", resource_type="draft", resource_name="draft"),
        Codes.ALREADY_EXISTS,
        "ALREADY_EXISTS",
        "there is one",
        error_details_pb2.ResourceInfo(resource_type="draft", resource_name="draft", description="there is one"),
    ),
    (errors.Aborted("changed"), Codes.ABORTED, "STALE_REVISION", "changed", None),
    (
        errors.FailedPrecondition("two", reason="AMBIGUOUS_UID"),
        Codes.FAILED_PRECONDITION,
        "AMBIGUOUS_UID",
        "two",
        error_details_pb2.PreconditionFailure(
            violations=[error_details_pb2.PreconditionFailure.Violation(type="AMBIGUOUS_UID", description="two")]
        ),
    ),
    (
        errors.ResourceExhausted("full", reason="DISK_FLOOR", retry_after=2),
        Codes.RESOURCE_EXHAUSTED,
        "DISK_FLOOR",
        "full",
        error_details_pb2.RetryInfo(retry_delay={"seconds": 2}),
    ),
    (
        errors.Unavailable("later", retry_after=0.5),
        Codes.UNAVAILABLE,
        "STORAGE_UNAVAILABLE",
        "later",
        error_details_pb2.RetryInfo(retry_delay={"nanos": 500_000_000}),
    ),
    (errors.DeadlineExceeded("late"), Codes.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "late", None),
    (UnknownMethod("what"), Codes.UNIMPLEMENTED, "UNIMPLEMENTED", "what", None),
]
FAULT = "the service failed; its log tells more under request id req-1"


@pytest.mark.parametrize(("error", "code", "reason", "text", "detail"), ROWS)
def test_an_error_has_its_code_one_error_info_and_its_detail(
    error: AuditStoreError, code: Codes, reason: str, text: str, detail: object
) -> None:
    found, status = status_of(error, "req-1")
    info = error_details_pb2.ErrorInfo()
    assert (found, status.code, status.message) == (code, code.value[0], text)
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason, dict(info.metadata)) == ("extaudit", reason, error.metadata)
    assert error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}") > 0
    others = status.details[1:]
    assert len(others) == (detail is not None)
    if detail is not None:
        unpacked = type(detail)()
        assert others[0].Unpack(unpacked)
        assert unpacked == detail


def test_every_error_of_the_service_has_a_row() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, AuditStoreError)}
    kinds -= {AuditStoreError, errors.NotKnownYet}  # the latter is told as what it is a kind of
    assert set(CODES) == kinds | {UnknownMethod}
    assert {type(row[0]) for row in ROWS} == set(CODES)


@pytest.mark.parametrize("error", [ValueError("secret"), AuditStoreError("secret"), KeyError("secret")])
def test_a_fault_is_told_without_its_text(error: Exception) -> None:
    code, status = status_of(error, "req-1")
    info = error_details_pb2.ErrorInfo()
    assert (code, status.message) == (Codes.INTERNAL, FAULT)
    assert status.details[0].Unpack(info)
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {"request_id": "req-1"})


def test_many_violations_still_fit_into_what_a_client_takes() -> None:
    error = errors.InvalidRequest([Violation(f"fields[{n}].path", "ü" * 1000) for n in range(500)])
    _, status = status_of(error, "req-1")
    bad = error_details_pb2.BadRequest()
    assert status.ByteSize() <= 4096
    assert status.details[1].Unpack(bad)
    shown = len(bad.field_violations) - 1
    assert shown >= 1
    assert bad.field_violations[0].field == "fields[0].path"
    assert bad.field_violations[-1].description == f"and {500 - shown} more"
