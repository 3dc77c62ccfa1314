"""Every reason of the service has a class of errors, and a new one fails here until it has."""

from __future__ import annotations

import grpc
import pytest
from extaudit.v1 import error_reason_pb2
from extaudit_client import Client, ExtauditError, InvalidRequest, RateLimited, Unavailable
from extaudit_client.errors import BY_REASON, class_of

from tests.unit.client.fake_service import FakeService, Refused

_PREFIX = "ERROR_REASON_"


def reasons() -> list[str]:
    names = [name.removeprefix(_PREFIX) for name in error_reason_pb2.ErrorReason.keys()]  # noqa: SIM118 (no mapping)
    return [name for name in names if name != "UNSPECIFIED"]


def test_every_reason_has_a_class_and_no_class_a_reason_that_there_is_not() -> None:
    assert sorted(BY_REASON) == sorted(reasons())
    assert all(found is not ExtauditError and issubclass(found, ExtauditError) for found in BY_REASON.values())


def test_a_reason_that_this_client_does_not_know_has_the_class_of_its_code() -> None:
    assert class_of("INVALID_ARGUMENT", "OF_TOMORROW") is InvalidRequest
    assert class_of("CANCELLED", "OF_TOMORROW") is ExtauditError


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMIT", RateLimited),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", InvalidRequest),
        (grpc.StatusCode.UNAVAILABLE, "STOPPING", Unavailable),
    ],
)
def test_a_failed_call_raises_its_class_with_all_that_is_known(
    service: FakeService, client: Client, code: grpc.StatusCode, reason: str, expected: type[ExtauditError]
) -> None:
    def refuse(_: object) -> object:
        raise Refused(code, reason, "said so", (("a", "b"),))

    service.emit = refuse  # type: ignore[assignment]
    with pytest.raises(ExtauditError) as caught:
        client.emit(b"{}")
    assert type(caught.value) is expected
    assert (caught.value.code, caught.value.reason, caught.value.message) == (code.name, reason, "said so")
