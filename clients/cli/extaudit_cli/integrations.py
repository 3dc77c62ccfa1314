"""The group `extaudit integrations`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "create": ("extaudit_cli.integration_create", "Create an integration."),
    "get": ("extaudit_cli.integration_get", "Show an integration, and what AWS has to trust."),
    "list": ("extaudit_cli.integration_list", "List the integrations by name."),
    "update": ("extaudit_cli.integration_update", "Give an integration another role."),
    "delete": ("extaudit_cli.integration_delete", "Delete an integration that nothing needs."),
    "aws-setup": ("extaudit_cli.integration_aws_setup", "Have AWS trust the service, with your own AWS credentials."),
    "rotate-key": ("extaudit_cli.integration_rotate_key", "Have the next key sign the service's tokens."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit integrations create production --role-arn arn:aws:iam::111122223333:role/extaudit
  extaudit integrations rotate-key
  extaudit integrations rotate-key --now --reason 'a backup was stolen'""",
)
def command() -> None:
    """Integrations with AWS, and the keys by which AWS knows the service."""
