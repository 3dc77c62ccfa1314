"""Errors of botocore become one class, in our own words."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    ParamValidationError,
    SSLError,
)

from server.storage.aws.errors import AwsError, Kind, action_of, translated


def of_code(code: str, status: int) -> AwsError:
    answer = {
        "Error": {"Code": code, "Message": "canary /etc/secret"},
        "ResponseMetadata": {"HTTPStatusCode": status, "RequestId": "ABC123"},
    }
    with pytest.raises(AwsError) as caught, translated("s3:ListBucket"):
        raise ClientError(answer, "ListObjectsV2")  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
    assert "canary" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("AccessDenied", 403, Kind.DENIED, False),
        ("AccessDeniedException", 400, Kind.DENIED, False),
        ("403", 403, Kind.DENIED, False),
        ("404", 404, Kind.MISSING, False),
        ("NoSuchKey", 404, Kind.MISSING, False),
        ("EntityNotFoundException", 400, Kind.MISSING, False),
        ("PreconditionFailed", 412, Kind.CONFLICT, False),
        ("ExpiredToken", 400, Kind.CREDENTIALS, True),
        ("SlowDown", 503, Kind.THROTTLED, True),
        ("ThrottlingException", 400, Kind.THROTTLED, True),
        ("InternalError", 500, Kind.FAILING, True),
        ("ValidationError", 400, Kind.REFUSED, False),
        ("KMS.DisabledException", 400, Kind.REFUSED, False),
    ],
)
def test_a_code_says_what_it_means(code: str, status: int, kind: Kind, retryable: bool) -> None:
    error = of_code(code, status)
    assert (error.kind, error.retryable, error.code, error.status) == (kind, retryable, code, status)
    assert (error.request_id, error.action) == ("ABC123", "s3:ListBucket")


def test_a_code_that_is_none_is_not_repeated() -> None:
    assert of_code("<script>\x1b[31m", 400).code == "Unreadable"


@pytest.mark.parametrize(
    ("refused", "action"),
    [
        ("kms:GenerateDataKey on resource: canary", "kms:GenerateDataKey"),
        ("kms:GenerateDataKey", "kms:GenerateDataKey"),
        ("canary on resource: canary", "s3:PutObject"),
        ("kms:canary1 canary", "s3:PutObject"),
        ("https://canary", "s3:PutObject"),
    ],
)
def test_of_the_text_of_aws_the_refused_action_alone_is_told(refused: str, action: str) -> None:
    message = f"User: canary is not authorized to perform: {refused}"
    answer: dict[str, Any] = {"Error": {"Code": "AccessDenied", "Message": message}}
    with pytest.raises(AwsError) as caught, translated("s3:PutObject"):
        raise ClientError(answer, "PutObject")  # type: ignore[arg-type]
    assert caught.value.action == action
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (EndpointConnectionError(endpoint_url="https://canary"), Kind.UNREACHABLE),
        (ConnectTimeoutError(endpoint_url="https://canary"), Kind.UNREACHABLE),
        (SSLError(endpoint_url="https://canary", error="canary"), Kind.UNREACHABLE),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Kind.UNREACHABLE),
        (ParamValidationError(report="canary"), Kind.REFUSED),
    ],
)
def test_what_never_got_an_answer_has_no_code(raised: Exception, kind: Kind) -> None:
    with pytest.raises(AwsError) as caught, translated("s3:GetObject"):
        raise raised
    assert (caught.value.kind, caught.value.code, caught.value.status) == (kind, "", 0)
    assert "canary" not in str(caught.value)


def test_actions_are_iams() -> None:
    assert action_of("s3", "ListObjectsV2") == "s3:ListBucket"
    assert action_of("s3", "UploadPart") == "s3:PutObject"
    assert action_of("glue", "GetTable") == "glue:GetTable"
