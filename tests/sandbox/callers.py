"""Who calls: a user or a role's session of one account, found by access key in moto's IAM and STS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import AssumedRole, sts_backends
from moto.utilities.utils import PARTITION_NAMES

Document = dict[str, Any]


@dataclass(frozen=True)
class Caller:
    """One principal. For a user `role` is empty and `session` None."""

    account: str
    partition: str
    arn: str
    secret: str
    user: str
    role: str
    session: AssumedRole | None

    @property
    def principals(self) -> tuple[str, ...]:
        """What a policy's `Principal` may call it: itself, its role, its account."""
        root = f"arn:{self.partition}:iam::{self.account}:root"
        return (self.arn, *([self.role_arn] if self.role else []), root, self.account)

    @property
    def role_arn(self) -> str:
        """The role of a session, with its path."""
        return str(self.session.role_arn) if self.session else ""

    @property
    def expires(self) -> datetime | None:
        """When a session ends, without time zone, in UTC; None for a user."""
        return self.session.expiration if self.session else None

    def documents(self) -> list[Document]:
        """The policies that grant: inline and attached, of the user's groups too."""
        backend = iam_backends[self.account][self.partition]
        if self.role:
            holders: list[Any] = [backend.get_role(self.role)]
        else:
            holders = [backend.get_user(self.user), *backend.get_groups_for_user(self.user)]
        return [document for holder in holders for document in _documents_of(holder)]

    def session_policy(self) -> Document | None:
        """The policy given when the role was assumed, which can only take away."""
        policy = self.session.policy if self.session else None
        return json.loads(policy) if policy else None


def find_caller(access_key: str) -> Caller | None:
    """The principal of an access key; None where there is none, or the role or user is gone."""
    for account, backends in list(iam_backends.items()):
        for partition in PARTITION_NAMES:
            key = backends[partition].access_keys.get(access_key)
            if key is not None:
                return _user(account, partition, key) if key.user_name else _session(account, partition, access_key)
    return None


def _user(account: str, partition: str, key: Any) -> Caller | None:
    user = iam_backends[account][partition].users.get(key.user_name)
    if user is None or key.status != "Active":
        return None
    return Caller(account, partition, user.arn, key.secret_access_key, user.name, "", None)


def _session(account: str, partition: str, access_key: str) -> Caller | None:
    session = sts_backends[account][partition].get_assumed_role_from_access_key(access_key)
    if session is None:
        return None
    role = session.role_arn.rpartition("/")[2]
    if role not in {each.name for each in iam_backends[account][partition].roles.values()}:
        return None
    return Caller(account, partition, session.arn, session.secret_access_key, "", role, session)


def _documents_of(holder: Any) -> Iterator[Document]:
    for document in holder.policies.values():
        yield json.loads(document)
    for policy in holder.managed_policies.values():
        yield json.loads(next(version.document for version in policy.versions if version.is_default))
