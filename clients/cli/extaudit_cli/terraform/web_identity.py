"""The trust that an integration asks for as a file for Terraform."""

from __future__ import annotations

from typing import Final

from extaudit_cli.aws.admin import FIRST_REGIONS
from extaudit_cli.aws.trust import ROLE_DESCRIPTION, Trust, policy_of
from extaudit_cli.terraform.encoding import terraform_text
from extaudit_cli.terraform.syntax import Block, Json, Reference, Value

PROVIDER: Final[Value] = {"source": "hashicorp/aws", "version": ">= 6.0"}
"""Older ones want a thumbprint where AWS doesn't."""


def trust_text(trust: Trust, thumbprint: str | None) -> str:
    """The file; the same trust always gives the same text."""
    head = (
        f"What AWS has to trust for the integration {trust.integration} of extaudit.\n"
        "An account has one provider for each issuer: where it is there already, import it, or leave the block out and "
        f"name it by its ARN, {trust.provider_arn}."
    )
    return terraform_text(trust_blocks(trust, thumbprint), head)


def trust_blocks(trust: Trust, thumbprint: str | None) -> list[Block]:
    """Every block, the provider's of Terraform first."""
    role = trust.role
    issuer: dict[str, Value] = {"url": trust.issuer, "client_id_list": [trust.audience]}
    if thumbprint is not None:
        issuer["thumbprint_list"] = [thumbprint]
    issuer["tags"] = dict(trust.provider_tags)
    return [
        Block("terraform", (), {"required_version": ">= 1.3"}, (Block("required_providers", (), {"aws": PROVIDER}),)),
        Block(
            "provider",
            ("aws",),
            {"region": FIRST_REGIONS[role.partition], "allowed_account_ids": [role.account_id]},
            comment="Credentials of another account are refused. Nothing here is of one region.",
        ),
        Block(
            "resource",
            ("aws_iam_openid_connect_provider", "extaudit"),
            issuer,
            comment="The service's issuer, whose documents AWS fetches.",
        ),
        Block(
            "resource",
            ("aws_iam_role", "extaudit"),
            {
                "name": role.name,
                "path": role.path,
                "description": ROLE_DESCRIPTION,
                "assume_role_policy": Json(
                    policy_of(Reference("aws_iam_openid_connect_provider.extaudit.arn"), trust.conditions)
                ),
                "tags": dict(trust.role_tags),
            },
            comment="Only tokens of this integration may assume it: audience and subject are both looked at.",
        ),
    ]
