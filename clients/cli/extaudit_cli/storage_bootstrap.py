"""`extaudit storage bootstrap`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from extaudit_cli.aws.admin import open_admin
from extaudit_cli.colours import Paint
from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.storage_stage import stage_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from extaudit_client import Client

    from extaudit_cli.bootstrap.things import Thing


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage bootstrap --dry-run
  extaudit storage bootstrap --aws-profile admin
  extaudit storage bootstrap --update long-term-bucket.policy --update workgroup
  extaudit storage bootstrap --stage cluster --dry-run --output json

Nothing that is there already is changed, but what --update names; what nobody has set in a bucket of ours, or in an
empty one, is set. Tags, statements and lifecycle rules of others always stay. What fails hides nothing else, and
running the command again goes on from there.

Exits with 0 where all is as planned; with 1 where something differs, is missing or failed, in a dry run too; with 3
where all that a dry run could look at is as planned, and something could not be looked at.""",
)
@stage_option
@click.option("--dry-run", is_flag=True, help="Change nothing; show the plan, and how what is there differs from it.")
@click.option(
    "--update",
    "updates",
    multiple=True,
    metavar="NAME",
    help="Make this as planned, though it is there and otherwise: a name as the output has it, such as "
    "`workgroup.scan-limit`, or `workgroup` for all of it. May be given again.",
)
@click.option("--update-all", is_flag=True, help="Make everything as planned.")
@click.option(
    "--aws-profile",
    metavar="NAME",
    help="Profile of your AWS configuration. [default: as every AWS tool finds your credentials]",
)
@output_option
@connected
def command(
    client: Client,
    output: str,
    stage: str,
    dry_run: bool,
    updates: tuple[str, ...],
    update_all: bool,
    aws_profile: str | None,
) -> None:
    """Build what an external audit storage needs in AWS, with your own AWS credentials.

    Buckets, Athena workgroup, Glue database and table, and the policy on the integration's role, as the service plans
    them. Your credentials stay on this machine: the service only gives the plan.
    """
    from extaudit_cli.bootstrap.patience import Patience
    from extaudit_cli.bootstrap.report import Header, Printer, print_json
    from extaudit_cli.bootstrap.run import Bootstrap, names, things

    plan = client.storages.infrastructure(stage)
    admin = open_admin(aws_profile, plan.region, plan.partition)
    patience = Patience()
    planned = things(admin, plan, patience)
    wanted = _updates(names(planned), updates, planned if update_all else ())
    account = admin.require_account(plan.partition, plan.account_id, f"the integration of the {stage}")
    header = Header.now(plan, stage, account, dry_run=dry_run)

    if output == "table":
        printer = Printer(Paint.for_stream(sys.stdout), header.heading)
        report = Bootstrap(planned, wanted, dry_run, printer.row, patience).run()
        printer.end(report)
    else:
        report = Bootstrap(planned, wanted, dry_run, lambda _: None, patience).run()
        print_json(header.members, report, output)
    click.get_current_context().exit(report.exit_code)


def _updates(known: Sequence[str], given: Sequence[str], everything: Sequence[Thing]) -> frozenset[str]:
    if unknown := [name for name in given if name not in known]:
        raise click.UsageError(f"there is no {unknown[0]!r} to update; there are {', '.join(known)}")
    return frozenset(given) | {thing.name for thing in everything}
