"""The policy on the integration's role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from extaudit_client import RolePolicyPlan

from extaudit_cli.aws.admin import Admin
from extaudit_cli.aws.problems import AwsProblem, AwsRefusal
from extaudit_cli.bootstrap.bucket_policy import compared_policy, label
from extaudit_cli.bootstrap.policies import merged, others, statements
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, Found, State

_NO_SUCH = "NoSuchEntity"


class RolePolicy:
    """An inline policy; the role itself is made by `extaudit integrations aws-setup`."""

    name = "role-policy"
    within = ""

    def __init__(self, admin: Admin, plan: RolePolicyPlan) -> None:
        self._admin = admin
        self._plan = plan
        self._planned = statements(plan.policy)
        self._role = plan.role_arn.rpartition("/")[2]

    @property
    def subject(self) -> str:
        """The role and the policy on it."""
        return f"{self._role}/{self._plan.policy_name}"

    @property
    def planned(self) -> Mapping[str, Value]:
        """Its statements, and none beside them."""
        return {"policy": self._planned, "other-statements": None}

    def look(self) -> Found | None:
        """Compare; statements of others give the role more than it needs, so they are a difference, and stay."""
        policy = self._read()
        if not policy:
            self._require_role()
            return None
        found = statements(policy)
        more = self._look_beside([label(each) for each in others(self._planned, found)])
        return Found((compared_policy("policy", self._planned, found), more))

    def _look_beside(self, beside: list[str]) -> Attribute:
        """What else the role may do: other statements are a difference, policies of their own are only noted."""
        name = "other-statements"
        if beside:
            remedy = "take them out of the policy, or move what the role really needs to a policy of its own"
            return Attribute(name, State.DIFFERENT, None, beside, by_hand=remedy)
        try:
            policies = self._other_policies()
        except AwsRefusal as refusal:
            return Attribute(name, State.UNKNOWN, None, problem=refusal)
        notes = tuple(f"the role has the policy {each!r} too, which may allow more" for each in policies)
        return Attribute(name, State.EQUAL, None, notes=notes)

    def _other_policies(self) -> list[str]:
        inline = self._admin.call("iam", "list_role_policies", RoleName=self._role)["PolicyNames"]
        attached = self._admin.call("iam", "list_attached_role_policies", RoleName=self._role)["AttachedPolicies"]
        return [each for each in inline if each != self._plan.policy_name] + [each["PolicyArn"] for each in attached]

    def create(self) -> None:
        """Put it on the role."""
        self._put(self._plan.policy)

    def change(self, attribute: Attribute) -> None:
        """Put the planned statements in."""
        self._put(merged(self._planned, self._read()))

    def _put(self, policy: str) -> None:
        named = {"RoleName": self._role, "PolicyName": self._plan.policy_name}
        self._admin.call("iam", "put_role_policy", **named, PolicyDocument=policy)

    def _read(self) -> str:
        named = {"RoleName": self._role, "PolicyName": self._plan.policy_name}
        answer: dict[str, Any] | None = self._admin.find("iam", "get_role_policy", _NO_SUCH, **named)
        if answer is None:
            return ""
        document = answer["PolicyDocument"]
        return document if isinstance(document, str) else json.dumps(document)

    def _require_role(self) -> None:
        if self._admin.find("iam", "get_role", _NO_SUCH, RoleName=self._role) is None:
            raise AwsProblem(
                f"the role {self._role} is not there; run `extaudit integrations aws-setup` for the integration first"
            )
