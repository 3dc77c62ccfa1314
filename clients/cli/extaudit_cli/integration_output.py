"""Integrations as commands show them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.event_json import jsonable
from extaudit_cli.output import print_facts, write_json
from extaudit_cli.text import visible
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from extaudit_client import Integration

ROLE_HELP: Final = "ARN of the role: arn:aws:iam::<account>:role/<name>."


def tell(integration: Integration, output: str, text: str) -> None:
    """Say that something was done with an integration."""
    if output == "table":
        click.echo(visible(text))
    else:
        write_json(record(integration), indent=2 if output == "json" else None)


def show(integration: Integration) -> None:
    """Print all of an integration for people."""
    trusted = integration.web_identity
    facts = [
        ("name", integration.name),
        ("role ARN", integration.role_arn),
        ("revision", integration.revision),
        ("created", f"{time_text(integration.create_time)} by {integration.creator.name}"),
        ("changed", time_text(integration.update_time)),
        ("issuer", trusted.issuer or "none: issuer_url isn't configured"),
        ("audience", trusted.audience),
        ("subject", trusted.subject),
    ]
    print_facts(("INTEGRATION", "VALUE"), facts)


def record(integration: Integration) -> dict[str, Any]:
    """An integration as JSON has it."""
    members: dict[str, Any] = jsonable(asdict(integration))
    return members
