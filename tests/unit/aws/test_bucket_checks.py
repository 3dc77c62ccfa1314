"""Whatever S3 answers about a bucket: no check passes that saw nothing; what is not looked at fails beside."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.storage.aws.checks.buckets import VERSIONING, Bucket, check_bucket
from server.storage.aws.checks.findings import Findings, Stopped
from server.storage.aws.clients import AwsClients
from server.storage.aws.errors import AwsError, Kind
from server.storage.aws.place import Connection, Place
from server.storage.aws.store import AWS, Store
from server.storage.aws.stored_objects import loses_versions
from server.storage.connection import Check, Outcome, Wanted
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions

METHODS = (
    "get_bucket_location",
    "get_bucket_versioning",
    "get_object_lock_configuration",
    "get_public_access_block",
    "get_bucket_ownership_controls",
)
WANTED = cast(
    Wanted,
    SimpleNamespace(
        account_id="123456789012",
        spec=SimpleNamespace(region="us-west-2"),
        options=StorageOptions(ObjectLockMode.GOVERNANCE, 30),
    ),
)
ERRORS = {
    "denied": AwsError("s3:GetBucketLocation", Kind.DENIED, "AccessDenied"),
    "no answer": AwsError("s3:GetBucketLocation", Kind.UNREACHABLE),
    "throttled": AwsError("s3:GetBucketLocation", Kind.THROTTLED, "SlowDown"),
    "elsewhere": AwsError("s3:GetBucketLocation", Kind.REFUSED, "PermanentRedirect"),
}


UNKNOWN = AwsError("s3:GetBucketVersioning", Kind.FAILING, "NotImplemented", status=501)
WITHOUT_VERSIONS = Store(needs_versions=False)


def s3(answers: dict[str, Any], asked: list[str], store: Store = AWS) -> AwsClients:
    def method(name: str) -> Callable[..., Any]:
        def call(**_: str) -> Any:
            asked.append(name)
            if isinstance(answers[name], AwsError):
                raise answers[name]
            return answers[name]

        return call

    methods = SimpleNamespace(**{name: method(name) for name in METHODS})
    return cast(AwsClients, SimpleNamespace(s3=methods, store=store))


def told(answers: dict[str, AwsError]) -> list[Check]:
    checks: list[Check] = []
    findings = Findings(checks.append, lambda: False)
    assert not check_bucket(s3(answers, []), WANTED, Bucket("audit", True), findings)
    return checks


@pytest.mark.parametrize("pair", list(itertools.combinations_with_replacement(ERRORS, 2)))
def test_where_no_call_tells_anything_nothing_passes_and_something_fails(pair: tuple[str, str]) -> None:
    for split in range(1, len(METHODS)):
        answers = {name: ERRORS[pair[number >= split]] for number, name in enumerate(METHODS)}
        checks = told(answers)
        outcomes = [check.outcome for check in checks]
        assert Outcome.PASSED not in outcomes, checks
        assert Outcome.FAILED in outcomes
        assert all(each.wrong_setting for each in checks if each.outcome is Outcome.FAILED)


def test_a_test_that_is_to_end_waits_for_no_further_answer() -> None:
    asked: list[str] = []
    findings = Findings(lambda _: None, lambda: len(asked) >= 2)
    with pytest.raises(Stopped):
        check_bucket(s3(dict.fromkeys(METHODS, ERRORS["no answer"]), asked), WANTED, Bucket("audit", True), findings)
    assert asked == list(METHODS[:2])


@pytest.mark.parametrize(
    ("answer", "lost", "lost_where_not_needed"),
    [
        ({}, True, False),
        ({"Status": "Suspended"}, True, True),
        (UNKNOWN, True, False),
        ({"Status": "Enabled"}, False, False),
    ],
)
def test_a_bucket_loses_versions_that_are_needed_or_that_it_had(
    answer: Any, lost: bool, lost_where_not_needed: bool
) -> None:
    def way(store: Store) -> Connection:
        place = Place(S3Location("audit", "events"), "123456789012", store=store)
        return Connection(lambda: s3({"get_bucket_versioning": answer}, [], store).s3, place)

    assert [loses_versions(way(store)) for store in (AWS, WITHOUT_VERSIONS)] == [lost, lost_where_not_needed]


@pytest.mark.parametrize(
    ("store", "answer", "outcome"),
    [
        (AWS, {}, Outcome.FAILED),
        (AWS, {"Status": "Suspended"}, Outcome.FAILED),
        (AWS, UNKNOWN, Outcome.FAILED),
        (WITHOUT_VERSIONS, {}, Outcome.WARNING),
        (WITHOUT_VERSIONS, {"Status": "Suspended"}, Outcome.WARNING),
        (WITHOUT_VERSIONS, UNKNOWN, Outcome.WARNING),
        (WITHOUT_VERSIONS, ERRORS["denied"], Outcome.FAILED),
        (WITHOUT_VERSIONS, {"Status": "Enabled"}, Outcome.PASSED),
    ],
)
def test_a_long_term_bucket_without_versions_fails_but_where_the_settings_let_it_be(
    store: Store, answer: Any, outcome: Outcome
) -> None:
    answers = {name: {} for name in METHODS} | {"get_bucket_versioning": answer}
    checks: list[Check] = []
    check_bucket(s3(answers, [], store), WANTED, Bucket("audit", True), Findings(checks.append, lambda: False))
    (found,) = [each for each in checks if each.name == VERSIONING]
    assert found.outcome is outcome
