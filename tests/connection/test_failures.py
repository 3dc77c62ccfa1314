"""Everything that may be wrong in the account fails by name, hides nothing else, and says what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from server.storage.aws.checks import prefixes
from server.storage.aws.store import Store
from server.storage.connection import Check, Outcome
from server.storage.spec import ObjectLockMode, StorageOptions
from tests.account_under_test import Account, blocks, lock, named, table_input
from tests.sandbox.token_issuer import trust_policy, trusting_role
from tests.tokens_builder import rsa_key

Plant = Callable[[Account], Any]


@dataclass(frozen=True)
class Fault:
    """What is planted, how it is taken back, and what then fails, or warns."""

    plant: Plant
    undo: Plant
    failing: set[str]
    warning: frozenset[str] = frozenset()
    says: str = ""
    """Part of what the first of them tells."""


def versioning(status: str) -> Plant:
    return lambda account: account.admin("s3").put_bucket_versioning(
        Bucket=account.transient, VersioningConfiguration={"Status": status}
    )


def public(**changes: bool) -> Plant:
    return lambda account: account.admin("s3").put_public_access_block(
        Bucket=account.long_term, PublicAccessBlockConfiguration=blocks(**changes)
    )


def ownership(rule: str) -> Plant:
    return lambda account: account.admin("s3").put_bucket_ownership_controls(
        Bucket=account.transient, OwnershipControls={"Rules": [{"ObjectOwnership": rule}]}
    )


def retention(mode: str, **period: int) -> Plant:
    return lambda account: lock(account, mode, **period)


def no_retention(account: Account) -> None:
    account.admin("s3").put_object_lock_configuration(
        Bucket=account.long_term, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )


def table(change: Callable[[dict[str, Any]], Any] = lambda _: None) -> Plant:
    def plant(account: Account) -> None:
        described = table_input(account)
        change(described)
        account.admin("glue").update_table(DatabaseName=account.spec.glue_database, TableInput=described)

    return plant


def columns(change: Callable[[list[dict[str, str]]], Any]) -> Plant:
    return table(lambda described: change(described["StorageDescriptor"]["Columns"]))


def parameter(name: str, value: str) -> Plant:
    return table(lambda described: described["Parameters"].update({name: value}))


def stored(name: str, value: Any) -> Plant:
    return table(lambda described: described["StorageDescriptor"].update({name: value}))


def results_at(place: str) -> Plant:
    def plant(account: Account) -> None:
        account.admin("athena").update_work_group(
            WorkGroup=account.spec.athena_workgroup,
            ConfigurationUpdates={
                "ResultConfigurationUpdates": {"OutputLocation": place.format(bucket=account.transient)}
            },
        )

    return plant


def denying(*actions: str, resource: str) -> Plant:
    def plant(account: Account) -> None:
        policy = account.policy
        arn = resource.format(long_term=account.long_term, transient=account.transient)
        policy["Statement"].append({"Effect": "Deny", "Action": list(actions), "Resource": arn})
        account.put_policy(policy)

    return plant


def whole_policy(account: Account) -> None:
    account.put_policy(account.policy)


def failing(action: str, code: str, status: int, times: int = 1) -> Plant:
    return lambda account: account.sandbox.fail(action, code, status=status, times=times)


def nothing(_: Account) -> None:
    return None


GOVERNANCE = retention("GOVERNANCE", Days=30)
RANGE = "projection.event_date.range"
FAULTS = {
    "versioning off": Fault(versioning("Suspended"), versioning("Enabled"), set(), frozenset({"bucket.versioning"}),
                            "Suspended"),
    "public access open": Fault(public(BlockPublicPolicy=False), public(), {"bucket.public-access"},
                                says="BlockPublicPolicy"),
    "public access not blocked at all": Fault(
        lambda account: account.admin("s3").delete_public_access_block(Bucket=account.long_term), public(),
        {"bucket.public-access"}),
    "access control lists count": Fault(ownership("ObjectWriter"), ownership("BucketOwnerEnforced"), set(),
                                        frozenset({"bucket.ownership"}), "ObjectWriter"),
    "no default retention": Fault(no_retention, GOVERNANCE, {"bucket.object-lock"}, says="no default retention"),
    "lock shorter": Fault(retention("GOVERNANCE", Days=7), GOVERNANCE, set(),
                          frozenset({"bucket.object-lock"}), "7 days"),
    "lock of another mode": Fault(retention("COMPLIANCE", Days=30), GOVERNANCE, set(),
                                  frozenset({"bucket.object-lock"}), "COMPLIANCE"),
    "lock in years": Fault(retention("GOVERNANCE", Years=1), GOVERNANCE, set(), frozenset({"bucket.object-lock"}),
                           "365 days"),
    "column missing": Fault(columns(lambda all_: all_.pop(0)), table(), {"table.column", "query.run"}, says="missing"),
    "column of another type": Fault(columns(lambda all_: all_[3].update(Type="string")), table(), {"table.column"},
                                    says="must be timestamp"),
    "column too many": Fault(columns(lambda all_: all_.append({"Name": "more", "Type": "int"})), table(), set(),
                             frozenset({"table.column"}), "not planned"),
    "partition key of another type": Fault(
        table(lambda described: described["PartitionKeys"][0].update(Type="string")), table(),
        {"table.partition-key", "query.run"}),
    "range of Teleport's": Fault(parameter(RANGE, "NOW-4YEARS,NOW"), table(), {"table.projection"}, says="leaves out"),
    "range without tomorrow": Fault(parameter(RANGE, "1970-01-01,NOW"), table(), {"table.projection"}),
    "projection off": Fault(parameter("projection.enabled", "false"), table(), {"table.projection"}, says="enabled"),
    "template elsewhere": Fault(parameter("storage.location.template", "s3://elsewhere/${event_date}/"), table(),
                                {"table.projection", "query.run"}, says="template"),
    "location elsewhere": Fault(stored("Location", "s3://elsewhere/events"), table(), {"table.location"},
                                says="s3://elsewhere/events"),
    "not read as Parquet": Fault(stored("SerdeInfo", {"SerializationLibrary": "org.openx.JsonSerDe"}), table(),
                                 {"table.format"}),
    "columns told by their places": Fault(
        stored("SerdeInfo", {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
                             "Parameters": {"parquet.column.index.access": "true"}}), table(),
        {"table.format"}, says="serialization parameters"),
    "results elsewhere": Fault(results_at("s3://{bucket}/query_results-not/"),
                               results_at("s3://{bucket}/query_results"), {"query.run"}),
    "results unreadable": Fault(denying("s3:GetObject", resource="arn:aws:s3:::{transient}/*"), whole_policy,
                                {"prefix.read", "query.results", "query.results-object"}),
    "events unreadable by the query": Fault(denying("s3:ListBucket", resource="arn:aws:s3:::{long_term}"), whole_policy,
                                            {"prefix.list-objects", "query.run"}),
    "everything denied on a bucket": Fault(denying("s3:*", resource="arn:aws:s3:::{long_term}*"), whole_policy,
                                           {"bucket.owner", "query.run"}, says="another account owns it"),
    "throttled": Fault(failing("s3:GetBucketVersioning", "SlowDown", 503, 2), nothing, {"bucket.versioning"},
                       says="fewer calls"),
    "query refused": Fault(failing("athena:StartQueryExecution", "InvalidRequestException", 400), nothing,
                           {"query.start"}),
    "Athena fails": Fault(failing("athena:GetQueryResults", "InternalServerException", 500), nothing,
                          {"query.results"}, says="error of its own"),
    "a part fails": Fault(failing("UploadPart", "InternalError", 500), nothing, {"prefix.write"}),
    "parts can't be listed": Fault(failing("ListParts", "InternalError", 500), nothing, {"prefix.list-parts"}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_by_name_and_hides_no_other_check(account: Account, every_check: set[Any], name: str) -> None:
    fault = FAULTS[name]
    fault.plant(account)
    try:
        checks = account.check()
    finally:
        fault.undo(account)
    assert (named(checks, Outcome.FAILED), named(checks, Outcome.WARNING)) == (fault.failing, fault.warning)
    found = [check for check in checks if check.outcome in (Outcome.FAILED, Outcome.WARNING)]
    assert all(check.remedy and check.detail and (check.missing_action or check.wrong_setting) for check in found)
    assert any(fault.says in check.detail for check in found)
    assert every_check <= {(check.name, check.subject) for check in checks}


def first_failed(checks: list[Check]) -> Check:
    return next(check for check in checks if check.outcome is Outcome.FAILED)


NAMES = {
    "no bucket": ({"athena_results_uri": "s3://there-is-none/results"}, "bucket.exists"),
    "no table": ({"glue_table": "there_is_none"}, "table.exists"),
    "no database": ({"glue_database": "there_is_none"}, "table.exists"),
    "no workgroup": ({"athena_workgroup": "there-is-none"}, "query.start"),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_there_fails_by_name(account: Account, name: str) -> None:
    fields, failing_check = NAMES[name]
    checks = account.elsewhere(**fields)
    check = next(check for check in checks if check.name == failing_check and check.outcome is Outcome.FAILED)
    assert check.wrong_setting
    assert "bootstrap" in check.remedy


def test_a_bucket_of_another_region_fails_by_name(account: Account) -> None:
    account.sandbox.client("s3", region="eu-west-1").create_bucket(
        Bucket="audit-in-europe", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    checks = account.elsewhere(athena_results_uri="s3://audit-in-europe/results")
    check = next(check for check in checks if check.name == "bucket.region" and check.outcome is Outcome.FAILED)
    assert "eu-west-1" in check.detail
    assert check.subject == "audit-in-europe"


def test_a_bucket_of_another_account_fails_by_name_though_it_lets_everybody_in(account: Account) -> None:
    theirs = account.sandbox.client("s3", credentials=account.sandbox.other_account("999999999999"))
    where = {"Bucket": "snatched-name"}
    theirs.create_bucket(**where, CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    arns = ["arn:aws:s3:::snatched-name", "arn:aws:s3:::snatched-name/*"]
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": arns}
    theirs.delete_public_access_block(**where)
    theirs.put_bucket_policy(**where, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    checks = account.elsewhere(
        session_recordings_uri="s3://snatched-name/sessions", audit_events_long_term_uri="s3://snatched-name/events"
    )
    check = first_failed(checks)
    assert (check.name, check.subject, check.wrong_setting) == ("bucket.owner", "snatched-name", "bucket owner")
    assert "999999999999" not in check.detail
    assert "Contents" not in theirs.list_objects_v2(**where)


def test_a_bucket_without_object_lock_fails_by_name_and_only_warns_where_none_is_planned(account: Account) -> None:
    account.admin("s3").create_bucket(
        Bucket="audit-unlocked", CreateBucketConfiguration={"LocationConstraint": "us-west-2"}
    )
    fields = {
        "session_recordings_uri": "s3://audit-unlocked/sessions",
        "audit_events_long_term_uri": "s3://audit-unlocked/events",
    }
    checks = account.elsewhere(**fields)
    assert {"bucket.object-lock", "bucket.versioning"} <= named(checks, Outcome.FAILED)
    unlocked = StorageOptions(ObjectLockMode.NONE, 0)
    planned, account.options = account.options, unlocked
    try:
        assert "bucket.object-lock" in named(account.elsewhere(**fields), Outcome.WARNING)
    finally:
        account.options = planned


TOKENS: dict[str, tuple[Callable[[Account], str], str, str]] = {
    "expired": (lambda account: account.issuer.token(exp=int(time.time()) - 1), "credentials.token", "clock"),
    "forged": (
        lambda account: rsa_key(account.issuer.key.kid).token(
            iss=account.issuer.url, aud="discover.teleport", sub="integration:main"
        ),
        "credentials.token",
        "identity provider",
    ),
    "another audience": (lambda account: account.issuer.token(aud="other"), "credentials.token", "identity provider"),
    "another subject": (lambda account: account.issuer.token(sub="other"), "credentials.role", "trust policy"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_wrong_token_fails_by_name_and_nothing_else_is_asked(
    account: Account, every_check: set[Any], name: str
) -> None:
    make, failing_check, setting = TOKENS[name]
    account.sandbox.clear_calls()
    checks = account.probe(token=make(account))
    assert named(checks, Outcome.FAILED) == {failing_check}
    check = first_failed(checks)
    assert check.wrong_setting == setting
    assert "aws-setup" in check.remedy or setting == "clock"
    assert check.aws_error_code
    assert {call.service for call in account.sandbox.calls() if "role" in call.caller} <= {"sts"}
    assert {(each.name, each.subject) for each in checks} == every_check


def test_an_issuer_that_aws_can_not_reach_fails_by_name(account: Account) -> None:
    nobody = replace(account.issuer, url="http://127.0.0.1:9")
    role = trusting_role(account.sandbox, nobody, "unreachable-issuer")
    check = first_failed(account.probe(token=nobody.token(), role_arn=role, issuer=nobody.url))
    assert (check.name, check.aws_error_code) == ("credentials.token", "IDPCommunicationError")
    assert (check.wrong_setting, "http://127.0.0.1:9/.well-known" in check.remedy) == ("issuer_url", True)


def test_a_trust_policy_without_our_subject_fails_by_name(account: Account) -> None:
    iam, role = account.admin("iam"), account.role_arn.rpartition("/")[2]
    provider = f"arn:aws:iam::{account.sandbox.account_id}:oidc-provider/{account.issuer.host}"
    other = trust_policy(provider, account.issuer.host, subject="integration:another")
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=other)
    try:
        check = first_failed(account.probe())
    finally:
        iam.update_assume_role_policy(RoleName=role, PolicyDocument=trust_policy(provider, account.issuer.host))
    assert (check.name, check.wrong_setting) == ("credentials.role", "trust policy")
    assert "integration:main" in check.remedy


def test_a_role_of_another_account_fails_by_name(account: Account) -> None:
    checks = account.probe(account_id="999999999999")
    assert first_failed(checks).name == "credentials.account"
    assert {"bucket.owner"} <= named(checks, Outcome.FAILED)


@pytest.mark.parametrize("reports", [12, 14, 19])
def test_a_test_that_is_stopped_anywhere_leaves_nothing(account: Account, reports: int) -> None:
    assert len(account.check(stop_after=reports)) == reports  # the fixture looks at the bucket


def test_what_a_killed_test_left_is_aborted_by_a_later_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "events/extaudit-connection-test/of-a-test-before"
    account.admin("s3").create_multipart_upload(Bucket=account.long_term, Key=key)
    assert named(account.check(), Outcome.FAILED) == set()
    assert account.kept() == [("Uploads", key)]  # it may be that of one that is under way
    monkeypatch.setattr(prefixes, "_LEFT_OVER", timedelta(0))
    assert named(account.check(), Outcome.FAILED) == set()
    assert account.kept() == []


def test_every_call_to_s3_names_the_account_that_must_own_the_bucket(account: Account) -> None:
    assert account.role_clients is not None
    owners: list[tuple[str, str]] = []

    def note(model: Any, params: dict[str, Any], **_: Any) -> None:
        owners.append((model.name, params["headers"].get("x-amz-expected-bucket-owner", "")))

    events = account.role_clients.s3._client.meta.events
    events.register("before-call.s3", note)
    try:
        account.check()
    finally:
        events.unregister("before-call.s3", note)
    assert len(owners) > 30
    assert {owner for _, owner in owners} == {account.sandbox.account_id}


def test_where_nothing_answers_each_check_says_so(account: Account) -> None:
    from server.storage.aws.checks.probe import AwsConnectionProbe
    from server.storage.aws.session import AwsSettings

    checks: list[Check] = []
    probe = AwsConnectionProbe(AwsSettings(endpoint="http://127.0.0.1:9", attempts=1))
    probe.run(account.wanted(), account.issuer.token, checks.append, lambda: False)
    check = first_failed(checks)
    assert (check.name, check.wrong_setting, check.aws_error_code) == ("credentials.token", "network", "")
    assert {each.outcome for each in checks if each is not check} == {Outcome.NOT_CHECKED}


def test_options_that_differ_warn(account: Account) -> None:
    options = replace(account.options, kms_key_arn="arn:aws:kms:us-west-2:123456789012:key/none")
    assert named(account.check(options=options), Outcome.WARNING) == {"prefix.encryption"}


STORES: dict[str, tuple[Callable[[Account], None], str]] = {
    "passes over the condition": (lambda account: account.sandbox.pass_over_conditions(), "passes over"),
    "does not know the header": (
        lambda account: account.sandbox.fail("PutObject", "NotImplemented", status=501), "refuses `If-None-Match",
    ),
    "takes no such header": (
        lambda account: account.sandbox.fail("PutObject", "InvalidArgument", status=400), "refuses `If-None-Match",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORES)
def test_a_store_that_does_not_keep_the_condition_fails_by_name(account: Account, name: str) -> None:
    plant, says = STORES[name]
    plant(account)
    checks = account.check()
    assert named(checks, Outcome.FAILED) == {"store.conditions"}
    check = first_failed(checks)
    assert says in check.detail
    assert check.wrong_setting == "aws.s3_conditional_writes"
    assert 'aws.s3_conditional_writes = "no"' in check.remedy


def test_a_store_that_is_said_to_do_less_warns_and_passes(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account.role_clients, "store", Store(conditional_writes=False, checksums=False))
    account.sandbox.pass_over_conditions()
    checks = account.check()
    assert named(checks, Outcome.FAILED) == set()
    assert named(checks, Outcome.WARNING) == {"store.conditions", "store.checksums"}
