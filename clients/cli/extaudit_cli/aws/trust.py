"""What an account has to trust so that the service may assume an integration's role: a plan, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.text import visible
from server.integrations.integration import RoleArn

if TYPE_CHECKING:
    from extaudit_client import Integration

ROLE_DESCRIPTION: Final = "Lets extaudit keep audit events and session recordings in this account."
ASSUME: Final = "sts:AssumeRoleWithWebIdentity"
Policy = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Trust:
    """An OpenID Connect provider for the service's issuer, and a role for one integration's tokens alone."""

    integration: str
    role: RoleArn
    issuer: str
    audience: str
    subject: str

    @classmethod
    def of(cls, integration: Integration, role_arn: str = "") -> Trust:
        """What an integration asks for, with its role, or with one that it is to get.

        Raises:
            click.ClickException: the service has no issuer, or the role is none that is known here.
        """
        role, trusted = RoleArn.parse(role_arn or integration.role_arn), integration.web_identity
        if role is None and role_arn:
            raise click.ClickException(visible(f"{role_arn} is no ARN of a role: arn:aws:iam::<account>:role/<name>"))
        if role is None:
            raise click.ClickException(visible(f"integration {integration.name} has no AWS role that is known here"))
        if not trusted.issuer:
            raise click.ClickException("the service has no issuer for AWS to trust: set issuer_url where it runs")
        return cls(integration.name, role, trusted.issuer, trusted.audience, trusted.subject)

    @property
    def issuer_name(self) -> str:
        """The issuer as AWS names it: its URL without the scheme."""
        return self.issuer.partition("://")[2]

    @property
    def provider_arn(self) -> str:
        """ARN of the provider."""
        return f"arn:{self.role.partition}:iam::{self.role.account_id}:oidc-provider/{self.issuer_name}"

    @property
    def provider_tags(self) -> Mapping[str, str]:
        """Tags of the provider, which all integrations of the service share."""
        return {"extaudit:issuer": self.issuer_name}

    @property
    def role_tags(self) -> Mapping[str, str]:
        """Tags of the role."""
        return {"extaudit:integration": self.integration, "extaudit:issuer": self.issuer_name}

    @property
    def conditions(self) -> dict[str, str]:
        """What a token must say, all of it equal: by audience alone every integration's token would do."""
        return {f"{self.issuer_name}:aud": self.audience, f"{self.issuer_name}:sub": self.subject}

    @property
    def policy(self) -> Policy:
        """Who may assume the role."""
        return policy_of(self.provider_arn, self.conditions)


def policy_of(provider: Any, conditions: Mapping[str, str]) -> Policy:
    """A trust policy for tokens of a provider, given as its ARN or as what stands for it."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": ASSUME,
        "Condition": {"StringEquals": dict(conditions)},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def means_the_same(one: Policy, other: Policy) -> bool:
    """Whether two trust policies mean the same: ids, order, and lists of one make no difference."""
    return one.get("Version") == other.get("Version") and _statements(one) == _statements(other)


def _statements(policy: Policy) -> list[str]:
    found = policy.get("Statement", [])
    return sorted(repr(_plain(each)) for each in (found if isinstance(found, list) else [found]))


def _plain(value: Any, *, top: bool = True) -> Any:
    """A value in one of the ways in which it can be written."""
    if isinstance(value, dict):
        kept = {key: each for key, each in value.items() if not (top and key == "Sid")}
        return sorted((key, _plain(each, top=False)) for key, each in kept.items())
    if isinstance(value, list):
        plain = sorted((_plain(each, top=False) for each in value), key=repr)
        return plain[0] if len(plain) == 1 else plain
    return str(value)
