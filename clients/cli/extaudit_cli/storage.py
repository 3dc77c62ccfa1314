"""The group `extaudit storage`."""

from __future__ import annotations

import click

from extaudit_cli.commands import LazyGroup

_COMMANDS = {
    "generate": ("extaudit_cli.storage_generate", "Make a draft whose names nobody has."),
    "show": ("extaudit_cli.storage_show", "Show the draft, or the storage in force, as a file."),
    "apply": ("extaudit_cli.storage_apply", "Make the draft what a file says."),
    "iam-policy": ("extaudit_cli.storage_iam_policy", "Print the IAM policy that the integration's role needs."),
    "bootstrap": ("extaudit_cli.storage_bootstrap", "Build all that must be there in AWS, or show what differs."),
    "terraform": ("extaudit_cli.storage_terraform", "Print all that must be there in AWS as a file for Terraform."),
    "test": ("extaudit_cli.storage_test", "Test whether the service reaches everything in AWS."),
    "promote": ("extaudit_cli.storage_promote", "Have the draft come into force."),
    "disable": ("extaudit_cli.storage_disable", "Go back to the default storage."),
    "divert": ("extaudit_cli.storage_divert", "Take what waits for a storage that is gone to the default one."),
    "delete-draft": ("extaudit_cli.storage_delete_draft", "Delete the draft."),
    "history": ("extaudit_cli.storage_history", "List what changed where new data goes."),
}


@click.group(
    cls=LazyGroup,
    table=_COMMANDS,
    epilog="""\b
Examples:
  extaudit storage generate --integration production --region us-west-2
  extaudit storage show > draft.yaml
  extaudit storage apply -f draft.yaml
  extaudit storage iam-policy
  extaudit storage iam-policy --aws-cli
  extaudit storage bootstrap --dry-run
  extaudit storage bootstrap
  extaudit storage terraform > storage.tf
  extaudit storage test
  extaudit storage promote
  extaudit storage history""",
)
def command() -> None:
    """Set up External Audit Storage: events and recordings in your own AWS account."""
