"""How often in a row a call is tried again, by what went wrong."""

from __future__ import annotations

import pytest
from extaudit_client import ExtauditError, Retries
from extaudit_client.errors import CertificateExpired, TokenExpired, Unavailable


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (Unavailable("UNAVAILABLE", "STOPPING", "stopping"), 8),
        (CertificateExpired("UNAUTHENTICATED", "CERTIFICATE_EXPIRED", "expired"), 1),
        (TokenExpired("UNAUTHENTICATED", "TOKEN_EXPIRED", "expired"), 1),
        (ExtauditError("PERMISSION_DENIED", "ACCESS_DENIED", "denied"), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_renewed_file_may_have_mended_is_tried_once_more_and_not_for_half_a_minute(
    error: ExtauditError, tries: int
) -> None:
    retries = Retries(attempts=8)
    allowed = [failures for failures in range(1, 20) if retries.allow(error, failures, answered=True)]
    assert allowed == list(range(1, tries + 1))
