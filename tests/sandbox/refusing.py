"""What tests of the sandbox ask again and again: which code a request is refused with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.sandbox.running import Sandbox


def refused(ask: Callable[..., Any], *given: Any, **named: Any) -> str:
    """AWS's error code; the request must be refused."""
    with pytest.raises(ClientError) as error:
        ask(*given, **named)
    return str(error.value.response["Error"]["Code"])


def code_of(ask: Callable[..., Any], *given: Any, **named: Any) -> str:
    """AWS's error code, or nothing where the request passes."""
    try:
        ask(*given, **named)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def policy(*statements: dict[str, Any]) -> str:
    """A policy that allows, unless a statement says otherwise."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]})


def session_of(sandbox: Sandbox, name: str, *statements: dict[str, Any]) -> dict[str, str]:
    """Credentials of a session of a new role that may do what the statements allow."""
    iam = sandbox.client("iam")
    trust = policy({"Action": "sts:AssumeRole", "Principal": {"AWS": sandbox.account_id}})
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    set_rights(sandbox, name, *statements)
    found: dict[str, str] = sandbox.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return found


def set_rights(sandbox: Sandbox, name: str, *statements: dict[str, Any]) -> None:
    """Give a role these rights and no others."""
    if not statements:
        statements = ({"Effect": "Deny", "Action": "*", "Resource": "*"},)
    sandbox.client("iam").put_role_policy(RoleName=name, PolicyName="rights", PolicyDocument=policy(*statements))


def make_bucket(sandbox: Sandbox, name: str, **more: Any) -> str:
    """The name of a new bucket in the sandbox's region."""
    where = {} if sandbox.region == "us-east-1" else {"LocationConstraint": sandbox.region}
    sandbox.client("s3").create_bucket(Bucket=name, **({"CreateBucketConfiguration": where} if where else {}), **more)
    return name
