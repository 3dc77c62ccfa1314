"""The group `extaudit storage`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "iam-policy": ("extaudit_cli.storage_iam_policy", "Print the IAM policy that the integration's role needs."),
    "bootstrap": ("extaudit_cli.storage_bootstrap", "Build all that must be there in AWS, or show what differs."),
    "terraform": ("extaudit_cli.storage_terraform", "Print all that must be there in AWS as a file for Terraform."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit storage iam-policy
  extaudit storage iam-policy --aws-cli
  extaudit storage bootstrap --dry-run
  extaudit storage bootstrap
  extaudit storage terraform > storage.tf""",
)
def command() -> None:
    """Set up External Audit Storage: events and recordings in your own AWS account."""
