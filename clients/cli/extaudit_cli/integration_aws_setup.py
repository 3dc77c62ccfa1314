"""Setting up what AWS has to trust, with the administrator's own credentials."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from extaudit_cli.aws.admin import admin_options
from extaudit_cli.colours import Paint
from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Client

    from extaudit_cli.aws.trust import Trust


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit integrations aws-setup production --dry-run
  extaudit integrations aws-setup production --aws-profile admin
  extaudit integrations aws-setup production --terraform
  extaudit integrations aws-setup production --role-arn arn:aws:iam::111122223333:role/next

What is there already is compared and shown. Nothing of it is changed, but that the provider gets our audience as one
more client id, and what --update-trust allows: the role's trust policy is then replaced whole, whatever else is in it.

Exits with 0 where all is as planned, with 1 where something differs or is missing, in a dry run too.""",
)
@click.argument("name")
@click.option("--role-arn", default="", metavar="ARN", help="Another role, which the integration is to get later.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what is there, and what would be done.")
@click.option("--update-trust", is_flag=True, help="Make trust policy and thumbprint as planned, though they differ.")
@click.option("--terraform", is_flag=True, help="Print the same as a file for Terraform; AWS isn't asked.")
@click.option(
    "--issuer-ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Authority of the issuer's certificate, PEM, where not everyone trusts it; AWS is then given its thumbprint.",
)
@admin_options
@output_option
@connected
def command(
    client: Client,
    output: str,
    name: str,
    role_arn: str,
    dry_run: bool,
    update_trust: bool,
    terraform: bool,
    issuer_ca: Path | None,
    aws_profile: str | None,
    region: str | None,
) -> None:
    """Have AWS trust the service, with your own AWS credentials.

    Makes the OpenID Connect provider for the service's issuer, and the integration's role, which only tokens of this
    integration may assume. Your credentials stay on this machine: the service only says what there shall be.
    """
    from extaudit_cli.aws.admin import open_admin
    from extaudit_cli.aws.setup import Setup
    from extaudit_cli.aws.trust import Trust
    from extaudit_cli.bootstrap.report import FORMAT, Printer, print_json
    from extaudit_cli.terraform.web_identity import trust_text

    trust = Trust.of(client.integrations.get(name), role_arn)
    if terraform:
        click.echo(trust_text(trust, _thumbprint(trust, issuer_ca)), nl=False)
        return
    admin = open_admin(aws_profile, region, trust.role.partition)
    account = admin.require_account(trust.role.partition, trust.role.account_id, f"the role {trust.role}")
    digest, printer = _thumbprint(trust, issuer_ca), None
    if output == "table":
        what = "What there is, beside what is planned" if dry_run else "Setting up the trust"
        heading = f"{what} for integration {name}: account {account.account_id}, as {account.arn}"
        printer = Printer(Paint.for_stream(sys.stdout), heading)
    setup = Setup(admin, trust, digest, dry_run, update_trust, printer.row if printer else lambda _: None)
    try:
        setup.run()
    finally:
        if printer:
            printer.end(setup.report)
        else:
            members = {"format": FORMAT, "integration": name, "account_id": account.account_id, "caller": account.arn}
            print_json(members, setup.report, output)
    click.get_current_context().exit(setup.report.exit_code)


def _thumbprint(trust: Trust, issuer_ca: Path | None) -> str | None:
    from extaudit_cli.aws.thumbprint import IssuerUnreachable, thumbprint

    try:
        return thumbprint(trust.issuer, issuer_ca)
    except IssuerUnreachable as error:
        text = f"warning: {trust.issuer} can't be reached from here ({error}), so it isn't looked at; AWS must reach it"
        click.echo(visible(text), err=True)
        return None
