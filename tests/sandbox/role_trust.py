"""AssumeRole: the role must be there and trust the caller. moto gives a session of any role to who may ask for one."""

from __future__ import annotations

import json

from moto.iam.models import iam_backends

from tests.sandbox.asked import Asked
from tests.sandbox.authorization import access_denied, request_context
from tests.sandbox.policies import Permission, Question, allowed, denied

ACTION = "sts:AssumeRole"


def check_trust(asked: Asked) -> None:
    """Refuse a session of a role that doesn't trust the caller or its account."""
    if (asked.service, asked.operation) != ("sts", "AssumeRole") or asked.caller is None:
        return
    arn = asked.text("RoleArn")
    permission = Permission(ACTION, arn)
    parts = arn.split(":")
    if len(parts) != 6 or not parts[4].isdigit():
        raise access_denied(asked, permission)
    roles = iam_backends[parts[4]][asked.caller.partition].roles.values()
    document = next((json.loads(each.assume_role_policy_document) for each in roles if each.arn == arn), {})
    question = Question(permission, request_context(asked), asked.caller.principals)
    if not allowed([document], question) or denied([document], question):
        raise access_denied(asked, permission)
