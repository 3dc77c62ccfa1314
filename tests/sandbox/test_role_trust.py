"""AssumeRole: only who may ask for a session and is trusted by the role gets one."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.refusing import policy, refused, session_of
from tests.sandbox.running import Sandbox

ACCOUNT = "123456789012"
OTHER = "222222222222"
ARN = f"arn:aws:iam::{ACCOUNT}:role/trusting"


@pytest.fixture(scope="module")
def role(sandbox: Sandbox) -> str:
    session_of(sandbox, "trusting")
    return ARN


def test_moto_gives_a_session_of_a_role_that_is_not_there(sandbox: Sandbox, moto: Sandbox, role: str) -> None:
    given = {"RoleArn": f"{ARN}-there-is-none", "RoleSessionName": "test"}
    assert moto.client("sts").assume_role(**given)
    assert refused(sandbox.client("sts").assume_role, **given) == "AccessDenied"
    given["RoleArn"] = "this is no ARN of a role"
    assert refused(sandbox.client("sts").assume_role, **given) == "AccessDenied"


@pytest.mark.parametrize(
    ("statement", "passes"),
    [
        ({"Principal": {"AWS": ACCOUNT}}, True),
        ({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/administrator"}}, True),
        ({"Principal": {"AWS": OTHER}}, False),
        ({"Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.test"}}, False),
        ({"Principal": {"AWS": ACCOUNT}, "Effect": "Deny"}, False),
        ({"Principal": {"AWS": ACCOUNT}, "Condition": {"StringEquals": {"sts:ExternalId": "told"}}}, True),
        ({"Principal": {"AWS": ACCOUNT}, "Condition": {"StringEquals": {"sts:ExternalId": "other"}}}, False),
    ],
)
def test_the_role_must_trust_the_caller(sandbox: Sandbox, role: str, statement: dict[str, Any], passes: bool) -> None:
    document = policy({"Action": "sts:AssumeRole", **statement})
    sandbox.client("iam").update_assume_role_policy(RoleName="trusting", PolicyDocument=document)
    given = {"RoleArn": role, "RoleSessionName": "test", "ExternalId": "told"}
    if passes:
        assert sandbox.client("sts").assume_role(**given)
    else:
        assert refused(sandbox.client("sts").assume_role, **given) == "AccessDenied"


def test_another_account_is_let_in_by_name(sandbox: Sandbox, role: str) -> None:
    sts = sandbox.client("sts", credentials=sandbox.other_account(OTHER))
    given = {"RoleArn": role, "RoleSessionName": "test"}
    for principal, passes in ((ACCOUNT, False), (OTHER, True)):
        document = policy({"Action": "sts:AssumeRole", "Principal": {"AWS": principal}})
        sandbox.client("iam").update_assume_role_policy(RoleName="trusting", PolicyDocument=document)
        if passes:
            assert sts.assume_role(**given)
        else:
            assert refused(sts.assume_role, **given) == "AccessDenied"
