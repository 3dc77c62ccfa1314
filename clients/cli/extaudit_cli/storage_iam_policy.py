"""`extaudit storage iam-policy`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from extaudit_cli.aws_command import put_role_policy
from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_stage import stage_option

if TYPE_CHECKING:
    from extaudit_client import Client, RolePolicyPlan


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage iam-policy
  extaudit storage iam-policy --aws-cli
  extaudit storage iam-policy --stage cluster --role-arn arn:aws:iam::123456789012:role/new-role
  extaudit storage iam-policy --output json""",
)
@stage_option
@click.option(
    "--role-arn",
    default="",
    metavar="ARN",
    help="For another role of the same account. [default: the integration's role]",
)
@click.option("--without-kms", is_flag=True, help="Leave out what the KMS key of the storage needs.")
@click.option("--aws-cli", is_flag=True, help="Print the command of AWS's command line that puts it on the role.")
@output_option
@connected
def command(client: Client, output: str, stage: str, role_arn: str, without_kms: bool, aws_cli: bool) -> None:
    """Print the IAM policy that the integration's role needs, and no more.

    It is the policy of Teleport's own External Audit Storage, filled in; a KMS key adds a statement.
    """
    # A profile's form of output is no wish of whoever asks for a command.
    if aws_cli and click.get_current_context().get_parameter_source("output") is not ParameterSource.DEFAULT:
        raise click.UsageError("--aws-cli prints a command, and can't be given with --output")
    policy = client.storages.iam_policy(stage, role_arn, without_kms=without_kms)
    document = _document(policy)
    if aws_cli:
        click.echo(command_text(policy, json.dumps(document, indent=2)))
    elif output == "table":
        write_json(document)
    else:
        record = {"role_arn": policy.role_arn, "policy_name": policy.policy_name, "policy": document}
        write_json(record, indent=2 if output == "json" else None)


def _document(policy: RolePolicyPlan) -> object:
    try:
        return json.loads(policy.policy)
    except ValueError:
        raise click.ClickException("the service's answer has no JSON for a policy") from None


def command_text(policy: RolePolicyPlan, document: str) -> str:
    """The command that puts a policy on its role.

    Raises:
        ClickException: a name has characters that AWS doesn't take in one.
    """
    role_name = policy.role_arn.rpartition("/")[2]
    # A terminal might act on other characters.
    if not all(name.isascii() and name.isprintable() for name in (role_name, policy.policy_name)):
        raise click.ClickException("the service's answer has names that AWS doesn't take")
    return put_role_policy(role_name, policy.policy_name, document)
