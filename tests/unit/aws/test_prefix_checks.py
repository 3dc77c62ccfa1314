"""Under a prefix: what an S3 of other makes might answer is seen, and what was begun is taken back wherever it ends."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.storage.aws.checks import prefixes
from server.storage.aws.checks.findings import Findings, Stopped
from server.storage.aws.checks.prefixes import check_prefix, prefix_of
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.store import AWS
from server.storage.connection import Check, Outcome, Wanted
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions

WANTED = cast(
    Wanted,
    SimpleNamespace(account_id="123456789012", options=StorageOptions(ObjectLockMode.GOVERNANCE, 30)),
)
PREFIX = prefix_of(S3Location.parse("s3://longterm/events"), "test-1")
WRITTEN = {"PartNumber": 1, "Size": 25}


class S3:
    """Keeps uploads; a test says which parts it lists, and what fails."""

    def __init__(self, parts: tuple[dict[str, int], ...] = (WRITTEN,), failing: dict[str, AwsError] | None = None):
        self.parts = parts
        self.failing = failing or {}
        self.uploads: set[str] = set()

    keys: tuple[str, ...] = ("events/a",)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            if name in self.failing:
                raise self.failing[name]
            return getattr(self, f"_{name}")(given)

        return call

    def _list_objects_v2(self, _: Any) -> Any:
        return {"Contents": [{"Key": key} for key in self.keys]}

    def _list_object_versions(self, _: Any) -> Any:
        return {"Versions": [{"Key": "events/a", "VersionId": "v"}]}

    def _list_multipart_uploads(self, _: Any) -> Any:
        return {}

    def _create_multipart_upload(self, _: Any) -> Any:
        self.uploads.add("u")
        return {"UploadId": "u", "ServerSideEncryption": "AES256"}

    def _upload_part(self, _: Any) -> Any:
        return {}

    def _list_parts(self, _: Any) -> Any:
        return {"Parts": self.parts}

    def _abort_multipart_upload(self, given: Any) -> Any:
        if given["UploadId"] not in self.uploads:
            raise AwsError("s3:AbortMultipartUpload", Kind.MISSING, "NoSuchUpload")
        self.uploads.remove(given["UploadId"])

    def _get_object(self, _: Any) -> Any:
        return {"Body": io.BytesIO(b"a")}


def checked(s3: S3, stop_after: int = 100) -> list[Check]:
    told: list[Check] = []
    findings = Findings(told.append, lambda: len(told) >= stop_after)
    check_prefix(cast(AwsClients, SimpleNamespace(s3=s3, store=AWS)), WANTED, PREFIX, findings)
    return told


@pytest.mark.parametrize("parts", [(), (WRITTEN, WRITTEN), ({"PartNumber": 1, "Size": 24},)])
def test_other_parts_than_were_written_fail(parts: tuple[dict[str, int], ...]) -> None:
    checks = checked(S3(parts))
    assert [check.name for check in checks if check.outcome is Outcome.FAILED] == [prefixes.LIST_PARTS]


def test_as_it_should_be_everything_passes_and_nothing_is_left() -> None:
    s3 = S3()
    checks = checked(s3)
    assert {check.name for check in checks} == set(prefixes.OF_PREFIXES)
    assert {check.outcome for check in checks} == {Outcome.PASSED}
    assert s3.uploads == set()


@pytest.mark.parametrize("stop_after", range(1, 9))
def test_wherever_it_is_stopped_nothing_is_left(stop_after: int) -> None:
    s3 = S3()
    with pytest.raises(Stopped):
        checked(s3, stop_after)
    assert s3.uploads == set()


@pytest.mark.parametrize("method", ["upload_part", "list_parts"])
@pytest.mark.parametrize("kind", [Kind.UNREACHABLE, Kind.DENIED])
def test_whatever_fails_in_an_upload_it_is_aborted(method: str, kind: Kind) -> None:
    s3 = S3(failing={method: AwsError("s3:PutObject", kind, "Code")})
    assert Outcome.FAILED in {check.outcome for check in checked(s3)}
    assert s3.uploads == set()


def test_where_it_may_not_be_aborted_nothing_is_begun() -> None:
    s3 = S3(failing={"abort_multipart_upload": AwsError("s3:AbortMultipartUpload", Kind.DENIED, "AccessDenied")})
    failed = [check.name for check in checked(s3) if check.outcome is Outcome.FAILED]
    assert (failed, s3.uploads) == ([prefixes.ABORT], set())


def test_an_object_that_is_named_as_ours_is_asked_for_before_what_others_put_there() -> None:
    ours = "events/2026-11-18/0123456789abcdef0123-1-2.r1.parquet"
    s3 = S3()
    clients = cast(AwsClients, SimpleNamespace(s3=s3, store=AWS))
    for keys, expected in ((("events/1970-01-01/a.parquet", ours), ours), (("events/a",), "events/a"), ((), "")):
        s3.keys = keys
        assert check_prefix(clients, WANTED, PREFIX, Findings(lambda _: None, lambda: False)) == expected
