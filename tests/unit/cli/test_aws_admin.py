"""The administrator's AWS session: every failure is one line with AWS's code, the IAM action and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from extaudit_cli.aws.admin import Admin, open_admin
from extaudit_cli.aws.problems import AwsProblem, AwsRefusal, action_of

from tests.unit.cli.aws_answers import Answers, aws_answers


@pytest.fixture(scope="module")
def server() -> Iterator[Answers]:
    with aws_answers() as answers:
        yield answers


@pytest.fixture
def answers(server: Answers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    """The endpoint, asked with credentials of an environment that nobody's own get into."""
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-of-a-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    server.texts.clear()
    server.asked.clear()
    return server


def opened(partition: str = "aws", profile: str | None = None, region: str | None = None) -> Admin:
    return open_admin(profile, region, partition)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("AccessDenied", "lack iam:GetRole"),
        ("ExpiredToken", "expired"),
        ("InvalidClientTokenId", "doesn't know these credentials"),
        ("LimitExceeded", "quota"),
        ("OpenIdIdpCommunicationError", "readable from the Internet"),
        ("ServiceFailure", "run the command again"),
    ],
)
def test_a_refusal_names_code_action_and_remedy_and_nothing_of_the_text_of_aws(
    answers: Answers, code: str, remedy: str
) -> None:
    answers.refuse("GetRole", code)
    with pytest.raises(AwsRefusal) as caught:
        opened().call("iam", "get_role", RoleName="x")
    assert caught.value.code == code
    text = caught.value.format_message()
    assert text.startswith(f"AWS refuses iam:GetRole with {code} (request id r-2): ")
    assert remedy in text
    assert "\n" not in text
    assert "secret" not in text


def test_absence_is_no_failure_where_it_is_asked_for(answers: Answers) -> None:
    answers.refuse("GetRole", "NoSuchEntity", 404)
    assert opened().find("iam", "get_role", "NoSuchEntity", RoleName="x") is None
    with pytest.raises(AwsRefusal):
        opened().find("iam", "get_role", "Other", RoleName="x")


def test_credentials_of_another_account_or_partition_are_refused(answers: Answers) -> None:
    answers.identify("111122223333")
    assert opened().require_account("aws", "111122223333", "the role").account_id == "111122223333"
    for partition, account in (("aws", "444455556666"), ("aws-cn", "111122223333")):
        with pytest.raises(AwsProblem, match=r"111122223333 .*the role is of .*use credentials of that account"):
            opened().require_account(partition, account, "the role")


def test_without_credentials_it_says_how_to_get_some(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AwsProblem, match="sts:GetCallerIdentity: no AWS credentials are found; set AWS_PROFILE"):
        opened().account()
    assert answers.asked == []


def test_an_unknown_profile_and_an_endpoint_that_is_not_there_are_one_line(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AwsProblem, match="no such profile"):
        opened(profile="nobody")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # the library's own patience between tries
    # Not every command has --region: the region of a storage is its draft's.
    with pytest.raises(AwsProblem, match="AWS can't be reached; check the network, proxies and the region"):
        opened().account()


@pytest.mark.parametrize(
    ("partition", "given", "configured", "region"),
    [
        ("aws", None, None, "us-east-1"),
        ("aws", None, "eu-central-1", "eu-central-1"),
        ("aws", "eu-west-1", "eu-central-1", "eu-west-1"),
        ("aws-cn", None, "eu-central-1", "cn-north-1"),
        ("aws-us-gov", None, None, "us-gov-west-1"),
        ("aws-us-gov", None, "us-gov-east-1", "us-gov-east-1"),
    ],
)
def test_the_region_is_the_given_or_the_configured_one_if_it_is_of_the_partition(
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    partition: str,
    given: str | None,
    configured: str | None,
    region: str,
) -> None:
    if configured:
        monkeypatch.setenv("AWS_DEFAULT_REGION", configured)
    assert opened(partition, region=given).region == region


@pytest.mark.parametrize("region", ["cn-north-1", "moon-1", ""])
def test_a_given_region_of_another_partition_is_refused(answers: Answers, region: str) -> None:
    with pytest.raises(AwsProblem, match="is not a region of the partition aws"):
        opened(region=region)


def test_operations_that_need_an_action_of_another_name_are_told_by_it() -> None:
    assert action_of("s3", "GetBucketEncryption") == "s3:GetEncryptionConfiguration"
    assert action_of("iam", "CreateRole") == "iam:CreateRole"
