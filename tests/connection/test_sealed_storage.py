"""A storage with a key of KMS, and with events and recordings in it: rights on the key, and that Athena reads these."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from server.external_storage.iam_policy import iam_policy
from server.storage.aws.clients import AwsClients
from server.storage.aws.session import AwsSettings
from server.storage.connection import Outcome
from server.storage.spec import ObjectLockMode, StorageOptions
from tests.account_under_test import Account, named, set_up, table_input
from tests.sandbox.running import Sandbox
from tests.sandbox.token_issuer import Issuer

DATE = "2026-11-27"


def parquet() -> bytes:
    """An object of one event, as batches have them."""
    text = pa.array(["x"])
    columns = dict.fromkeys(("uid", "session_id", "event_type", "event_data", "user"), text)
    columns["event_time"] = pa.array([datetime(2026, 11, 27, tzinfo=UTC)], pa.timestamp("ms"))
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def sealed(sandbox: Sandbox, issuer: Issuer) -> Iterator[Account]:
    key = sandbox.client("kms").create_key()["KeyMetadata"]["Arn"]
    account = set_up(sandbox, issuer, "sealed", StorageOptions(ObjectLockMode.GOVERNANCE, 30, kms_key_arn=key))
    settings = AwsSettings(endpoint=sandbox.endpoint, attempts=1)
    account.role_clients = AwsClients(account.spec.region, account.role_arn, issuer.token, settings)
    s3 = account.admin("s3")
    s3.put_object(Bucket=account.long_term, Key=f"events/{DATE}/a-1-1.parquet", Body=parquet())
    s3.put_object(Bucket=account.long_term, Key="sessions/s.tar", Body=b"recording")
    yield account
    account.role_clients.close()


def test_with_the_key_in_its_policy_everything_passes_and_an_event_and_a_recording_are_read(sealed: Account) -> None:
    before = sealed.kept()
    checks = sealed.check()
    assert {check.outcome for check in checks} == {Outcome.PASSED}
    found = {(check.name, check.subject): check for check in checks}
    assert DATE in found["query.table", "sealed.events"].detail
    assert "A byte" in found["prefix.read", f"s3://{sealed.long_term}/sessions"].detail
    encryption = found["prefix.encryption", f"s3://{sealed.long_term}/events"]
    assert ("key", sealed.options.kms_key_arn) in encryption.facts
    assert sealed.kept() == before


@pytest.mark.parametrize(
    ("action", "failing"),
    [
        ("kms:GenerateDataKey", {"prefix.write", "query.run"}),
        ("kms:Decrypt", {"prefix.write", "prefix.read", "prefix.read-version", "query.run"}),
    ],
)
def test_without_one_action_on_the_key_named_checks_fail(sealed: Account, action: str, failing: set[str]) -> None:
    policy = sealed.policy
    policy["Statement"][-1]["Action"].remove(action)
    sealed.put_policy(policy)
    try:
        checks = sealed.check()
    finally:
        sealed.put_policy(sealed.policy)
    assert named(checks, Outcome.FAILED) == failing
    assert action in {check.missing_action for check in checks}


def test_a_key_that_is_disabled_is_named_as_what_is_wrong(sealed: Account) -> None:
    kms, key = sealed.admin("kms"), sealed.options.kms_key_arn.rpartition("/")[2]
    kms.disable_key(KeyId=key)
    try:
        checks = sealed.check()
    finally:
        kms.enable_key(KeyId=key)
    write = [check for check in checks if check.name == "prefix.write"]
    assert {(check.outcome, check.aws_error_code, check.wrong_setting) for check in write} == {
        (Outcome.FAILED, "KMS.DisabledException", "key of KMS")
    }
    assert all("enabled" in check.remedy for check in write)


def test_without_it_the_right_on_the_key_is_named(sealed: Account) -> None:
    sealed.put_policy(iam_policy(sealed.spec, "aws", sealed.sandbox.account_id))
    try:
        checks = sealed.check()
    finally:
        sealed.put_policy(sealed.policy)
    denied = [check for check in checks if check.name == "prefix.write"]
    assert [check.missing_action for check in denied] == ["kms:GenerateDataKey"] * 3
    assert all("key" in check.remedy for check in denied)
    assert {"prefix.write", "prefix.read", "query.run"} <= named(checks, Outcome.FAILED)


def test_a_key_that_the_storage_does_not_name_is_a_warning(sealed: Account) -> None:
    checks = sealed.check(options=StorageOptions(ObjectLockMode.GOVERNANCE, 30))
    assert named(checks, Outcome.WARNING) == {"prefix.encryption"}


def test_a_table_that_reads_another_place_is_found_by_its_rows_too(sealed: Account) -> None:
    described, glue = table_input(sealed), sealed.admin("glue")
    elsewhere = f"s3://{sealed.long_term}/sessions"
    described["StorageDescriptor"]["Location"] = elsewhere
    described["Parameters"]["storage.location.template"] = f"{elsewhere}/${{event_date}}/"
    at = {"DatabaseName": sealed.spec.glue_database}
    glue.update_table(**at, TableInput=described)
    try:
        checks = sealed.check()
    finally:
        glue.update_table(**at, TableInput=table_input(sealed))
    assert named(checks, Outcome.FAILED) == {"table.location", "table.projection", "query.table"}
    [check] = [check for check in checks if check.name == "query.table"]
    assert "reads another place" in check.detail
