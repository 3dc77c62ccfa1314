"""Policies: moto takes them for every resource and whatever their conditions say; the sandbox reads them whole."""

from __future__ import annotations

import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.compat import get_current_datetime
from botocore.config import Config

from tests.sandbox.refusing import code_of, make_bucket, policy, refused, session_of, set_rights
from tests.sandbox.running import Sandbox, running_sandbox

ACCOUNT = "123456789012"
GLUE = f"arn:aws:glue:us-west-2:{ACCOUNT}"
GROUP = f"arn:aws:athena:us-west-2:{ACCOUNT}:workgroup"


def enforce(moto: Sandbox, after: str) -> None:
    """Have moto enforce policies after so many requests."""
    asked = urllib.request.Request(
        f"{moto.endpoint}/moto-api/reset-auth", after.encode(), {"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(asked, timeout=60).close()


def test_moto_enforces_nothing_unless_told(moto: Sandbox) -> None:
    nobody = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "no secret"}
    assert moto.client("s3", credentials=nobody).list_buckets()


def test_moto_told_to_enforce_reads_neither_resources_nor_conditions_and_answers_in_xml(
    sandbox: Sandbox, moto: Sandbox
) -> None:
    right = {"Action": "glue:GetDatabases", "Resource": f"{GLUE}:catalog"}
    never = {"Action": "athena:ListWorkGroups", "Resource": "*", "Condition": {"Null": {"aws:SecureTransport": "true"}}}
    for each, codes in (
        (moto, ["403", "", "403"]),
        (sandbox, ["", "AccessDeniedException", "AccessDeniedException"]),
    ):
        iam = each.client("iam")
        iam.create_user(UserName="narrow")
        iam.put_user_policy(UserName="narrow", PolicyName="p", PolicyDocument=policy(right, never))
        narrow = iam.create_access_key(UserName="narrow")["AccessKey"]
        glue, athena = (each.client(service, credentials=narrow) for service in ("glue", "athena"))
        if each is moto:
            enforce(moto, "0")
        try:
            found = [
                code_of(glue.get_databases),
                code_of(athena.list_work_groups),
                code_of(athena.list_data_catalogs),
            ]
        finally:
            if each is moto:
                enforce(moto, "inf")
        assert found == codes


def test_moto_told_to_enforce_has_one_action_for_many_requests(sandbox: Sandbox, moto: Sandbox) -> None:
    for each, code in ((moto, ""), (sandbox, "AccessDenied")):
        iam = each.client("iam")
        make_bucket(each, "one-action", ObjectLockEnabledForBucket=True)
        iam.create_user(UserName="lister")
        iam.put_user_policy(
            UserName="lister", PolicyName="p", PolicyDocument=policy({"Action": "s3:ListBucket", "Resource": "*"})
        )
        s3 = each.client("s3", credentials=iam.create_access_key(UserName="lister")["AccessKey"])
        if each is moto:
            enforce(moto, "0")
        try:
            found = code_of(lambda s3=s3: s3.get_object_lock_configuration(Bucket="one-action"))
        finally:
            if each is moto:
                enforce(moto, "inf")
        assert found == code


def test_a_request_must_be_signed_by_a_known_key(sandbox: Sandbox) -> None:
    nobody = {"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "no secret"}
    assert refused(sandbox.client("s3", credentials=nobody).list_buckets) == "InvalidAccessKeyId"
    assert refused(sandbox.client("iam", credentials=nobody).list_roles) == "InvalidClientTokenId"
    assert refused(sandbox.client("glue", credentials=nobody).get_databases) == "UnrecognizedClientException"
    forger = {"AccessKeyId": sandbox.admin_access_key, "SecretAccessKey": "no secret"}
    assert refused(sandbox.client("s3", credentials=forger).list_buckets) == "SignatureDoesNotMatch"
    assert refused(sandbox.client("athena", credentials=forger).list_work_groups) == "InvalidSignatureException"


def test_a_signature_is_fresh(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    old = get_current_datetime() - timedelta(minutes=16)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: old)
    assert refused(sandbox.client("s3").list_buckets) == "RequestTimeTooSkewed"
    assert refused(sandbox.client("glue").get_databases) == "InvalidSignatureException"


def test_a_body_is_the_one_that_was_signed(sandbox: Sandbox) -> None:
    make_bucket(sandbox, "tampered")
    s3 = sandbox.client("s3")

    def tamper(request: Any, **_: Any) -> None:
        request.body = b"other"

    given = {"Bucket": "tampered", "Key": "k", "Body": b"agree"}
    s3.meta.events.register("before-send.s3.PutObject", tamper)
    try:
        assert refused(s3.put_object, **given) == "XAmzContentSHA256Mismatch"
    finally:
        s3.meta.events.unregister("before-send.s3.PutObject", tamper)


def test_nobody_names_the_account_they_act_in(sandbox: Sandbox, moto: Sandbox) -> None:
    for each, shows in ((moto, False), (sandbox, True)):
        make_bucket(each, "of-this-account")
        s3 = each.client("s3")

        def name_another(request: Any, **_: Any) -> None:
            request.headers["X-Moto-Account-Id"] = "222222222222"

        s3.meta.events.register("before-send.s3.ListBuckets", name_another)
        names = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
        s3.meta.events.unregister("before-send.s3.ListBuckets", name_another)
        assert ("of-this-account" in names) is shows


def test_a_session_must_show_its_token(sandbox: Sandbox) -> None:
    session = session_of(sandbox, "tokens")
    without = {**session, "SessionToken": ""}
    assert refused(sandbox.client("s3", credentials=without).list_buckets) == "InvalidToken"
    other = {**session, "SessionToken": session["SessionToken"][:-1]}
    assert refused(sandbox.client("athena", credentials=other).list_work_groups) == "UnrecognizedClientException"


RESOURCES: list[tuple[str, list[str], str, str, dict[str, Any]]] = [
    ("s3:GetObject", ["arn:aws:s3:::res-one/a/*"], "s3", "get_object", {"Bucket": "res-one", "Key": "a/1"}),
    ("s3:GetObject", ["arn:aws:s3:::res-one/a/*"], "s3", "get_object", {"Bucket": "res-one", "Key": "b/1"}),
    ("glue:GetTable", [f"{GLUE}:*/res*", f"{GLUE}:catalog"], "glue", "get_table", {"DatabaseName": "res", "Name": "t"}),
    ("glue:GetTable", [f"{GLUE}:catalog"], "glue", "get_table", {"DatabaseName": "res", "Name": "t"}),
    ("glue:GetTable", [f"{GLUE}:*/res*"], "glue", "get_table", {"DatabaseName": "res", "Name": "t"}),
    ("athena:GetWorkGroup", [f"{GROUP}/primary"], "athena", "get_work_group", {"WorkGroup": "primary"}),
    ("athena:GetWorkGroup", [f"{GROUP}/other"], "athena", "get_work_group", {"WorkGroup": "primary"}),
]
PASSES = [True, False, True, False, False, True, False]


@pytest.fixture(scope="module")
def resources(sandbox: Sandbox) -> dict[str, str]:
    make_bucket(sandbox, "res-one")
    for key in ("a/1", "b/1"):
        sandbox.client("s3").put_object(Bucket="res-one", Key=key, Body=b"1")
    sandbox.client("glue").create_database(DatabaseInput={"Name": "res"})
    sandbox.client("glue").create_table(DatabaseName="res", TableInput={"Name": "t"})
    return session_of(sandbox, "resources")


@pytest.mark.parametrize(("row", "passes"), list(zip(RESOURCES, PASSES, strict=True)))
def test_a_right_is_one_on_its_resources(
    sandbox: Sandbox, resources: dict[str, str], row: tuple[str, list[str], str, str, dict[str, Any]], passes: bool
) -> None:
    action, arns, service, method, given = row
    set_rights(sandbox, "resources", {"Action": action, "Resource": arns})
    ask = getattr(sandbox.client(service, credentials=resources), method)
    if passes:
        assert ask(**given)
    else:
        assert refused(ask, **given) == ("AccessDenied" if service == "s3" else "AccessDeniedException")


def test_deny_beats_allow_and_what_a_statement_leaves_out_counts(sandbox: Sandbox) -> None:
    session = session_of(sandbox, "denials", {"Action": "iam:*", "Resource": "*"})
    iam = sandbox.client("iam", credentials=session)
    assert iam.list_roles()
    set_rights(
        sandbox,
        "denials",
        {"Action": "*", "Resource": "*"},
        {"Effect": "Deny", "NotAction": "iam:ListUsers", "Resource": "*"},
    )
    assert iam.list_users()
    assert refused(iam.list_roles) == "AccessDenied"
    set_rights(sandbox, "denials", {"Action": "iam:GetRole", "NotResource": f"arn:aws:iam::{ACCOUNT}:role/denials"})
    assert refused(iam.get_role, RoleName="denials") == "AccessDenied"


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        ({"StringEquals": {"s3:prefix": "a/"}}, True),
        ({"StringEquals": {"s3:prefix": "b/"}}, False),
        ({"StringLike": {"s3:prefix": ["x", "?/*"]}}, True),
        ({"StringNotLike": {"s3:prefix": "a*"}}, False),
        ({"StringEquals": {"s3:delimiter": "/"}}, False),
        ({"StringEqualsIfExists": {"s3:delimiter": "/"}}, True),
        ({"Null": {"s3:delimiter": "true"}}, True),
        ({"Null": {"s3:prefix": "true"}}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, True),
        ({"Bool": {"aws:SecureTransport": False}}, False),
        ({"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/cond*"}}, True),
        ({"StringEquals": {"aws:ResourceAccount": "222222222222"}}, False),
        ({"NumericLessThan": {"s3:max-keys": "10"}}, True),
        ({"NumericGreaterThan": {"s3:max-keys": "5"}}, False),
    ],
)
def test_conditions_are_read(sandbox: Sandbox, condition: dict[str, Any], passes: bool) -> None:
    roles = {each["RoleName"] for each in sandbox.client("iam").list_roles()["Roles"]}
    if "conditions" not in roles:
        session_of(sandbox, "conditions")
        make_bucket(sandbox, "with-conditions")
    set_rights(sandbox, "conditions", {"Action": "s3:ListBucket", "Resource": "*", "Condition": condition})
    arn = f"arn:aws:iam::{ACCOUNT}:role/conditions"
    session = sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    ask = sandbox.client("s3", credentials=session).list_objects_v2
    given = {"Bucket": "with-conditions", "Prefix": "a/", "MaxKeys": 5}
    if passes:
        assert ask(**given)
    else:
        assert refused(ask, **given) == "AccessDenied"


def test_an_operator_that_the_sandbox_does_not_know_decides_nothing(sandbox: Sandbox) -> None:
    condition = {"IpAddress": {"aws:SourceIp": "127.0.0.1"}}
    session = session_of(sandbox, "operators", {"Action": "*", "Resource": "*", "Condition": condition})
    assert refused(sandbox.client("s3", credentials=session).list_buckets) == "InternalFailure"


def test_a_session_policy_takes_away(sandbox: Sandbox) -> None:
    session_of(sandbox, "narrowed", {"Action": "iam:*", "Resource": "*"})
    given = policy({"Action": "iam:ListUsers", "Resource": "*"})
    arn = f"arn:aws:iam::{ACCOUNT}:role/narrowed"
    session = sandbox.client("sts").assume_role(RoleArn=arn, RoleSessionName="test", Policy=given)["Credentials"]
    iam = sandbox.client("iam", credentials=session)
    assert iam.list_users()
    assert refused(iam.list_roles) == "AccessDenied"


def test_groups_and_attached_policies_grant(sandbox: Sandbox) -> None:
    iam = sandbox.client("iam")
    iam.create_user(UserName="member")
    iam.create_group(GroupName="listing")
    iam.put_group_policy(
        GroupName="listing", PolicyName="p", PolicyDocument=policy({"Action": "iam:ListUsers", "Resource": "*"})
    )
    iam.add_user_to_group(GroupName="listing", UserName="member")
    document = policy({"Action": "iam:ListRoles", "Resource": "*"})
    iam.attach_user_policy(
        UserName="member", PolicyArn=iam.create_policy(PolicyName="attached", PolicyDocument=document)["Policy"]["Arn"]
    )
    member = sandbox.client("iam", credentials=iam.create_access_key(UserName="member")["AccessKey"])
    assert member.list_users()
    assert member.list_roles()
    assert refused(member.list_groups) == "AccessDenied"


TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}


def set_tls_only(sandbox: Sandbox, bucket: str) -> None:
    arns = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    sandbox.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy({**TLS_ONLY, "Resource": arns}))


def test_moto_denies_by_a_bucket_policy_whatever_its_condition(moto: Sandbox, certificates: Any) -> None:
    make_bucket(moto, "tls-only")
    set_tls_only(moto, "tls-only")
    assert moto.client("s3").list_objects_v2(Bucket="tls-only")
    assert refused(moto.client("s3").put_object, Bucket="tls-only", Key="a", Body=b"a") == "403"


def test_a_bucket_that_asks_for_tls_is_reached_over_tls(certificates: tuple[Path, Path, Path]) -> None:
    with running_sandbox(tls=certificates, as_tls=False) as secure:
        make_bucket(secure, "tls-only")
        set_tls_only(secure, "tls-only")
        s3 = secure.client("s3")
        s3.put_object(Bucket="tls-only", Key="a", Body=b"hidden")
        assert s3.get_object(Bucket="tls-only", Key="a")["Body"].read() == b"hidden"


def test_a_bucket_that_asks_for_tls_is_not_reached_without(sandbox: Sandbox) -> None:
    with running_sandbox(as_tls=False) as plain:
        make_bucket(plain, "tls-only")
        set_tls_only(plain, "tls-only")
        s3 = plain.client("s3")
        assert refused(s3.put_object, Bucket="tls-only", Key="a", Body=b"a") == "AccessDenied"
        assert refused(s3.list_objects_v2, Bucket="tls-only") == "AccessDenied"
    make_bucket(sandbox, "tls-only")
    set_tls_only(sandbox, "tls-only")
    sandbox.client("s3").put_object(Bucket="tls-only", Key="a", Body=b"a")


def test_a_bucket_policy_lets_another_account_in(sandbox: Sandbox, moto: Sandbox) -> None:
    make_bucket(moto, "shared-bucket")
    make_bucket(sandbox, "shared-bucket")
    other = sandbox.client("s3", credentials=sandbox.other_account("222222222222"))
    assert refused(other.list_objects_v2, Bucket="shared-bucket") == "AccessDenied"
    statement = {
        "Principal": {"AWS": "222222222222"},
        "Action": "s3:ListBucket",
        "Resource": "arn:aws:s3:::shared-bucket",
    }
    sandbox.client("s3").put_bucket_policy(Bucket="shared-bucket", Policy=policy(statement))
    assert other.list_objects_v2(Bucket="shared-bucket")
    assert refused(other.put_object, Bucket="shared-bucket", Key="a", Body=b"a") == "AccessDenied"


def test_who_does_not_sign_may_what_a_bucket_lets_anybody(sandbox: Sandbox) -> None:
    make_bucket(sandbox, "open-bucket")
    sandbox.client("s3").put_object(Bucket="open-bucket", Key="a", Body=b"open")
    config = Config(signature_version=UNSIGNED, s3={"addressing_style": "path"})
    anybody = boto3.session.Session().client("s3", "us-west-2", endpoint_url=sandbox.endpoint, config=config)
    assert refused(anybody.get_object, Bucket="open-bucket", Key="a") == "AccessDenied"
    statement = {"Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::open-bucket/*"}
    given = {"Bucket": "open-bucket", "Policy": policy(statement)}
    assert refused(sandbox.client("s3").put_bucket_policy, **given) == "AccessDenied"
    sandbox.client("s3").delete_public_access_block(Bucket="open-bucket")
    sandbox.client("s3").put_bucket_policy(**given)
    assert anybody.get_object(Bucket="open-bucket", Key="a")["Body"].read() == b"open"
    anybody.close()
