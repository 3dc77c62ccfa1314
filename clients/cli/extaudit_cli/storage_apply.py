"""The command `extaudit storage apply`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option
from extaudit_cli.storage_file import MAX_BYTES, FileProblems, StorageFile, read_storage_file
from extaudit_cli.storage_output import print_storage
from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import Client, ExternalAuditStorage, StorageOptions

_MOST_TOLD: Final = 50
"""Problems of a file; one that is something else altogether has thousands."""
_DEFAULTS: Final = {
    "object_lock_mode": "governance",
    "object_lock_days": 1460,
    "results_days": 1,
    "scan_limit_bytes": 1_000_000_000_000,
}
"""The service's defaults, to tell whether a file asks for anything else than what is there."""


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage apply -f draft.yaml
  extaudit storage show | sed 's/us-west-2/eu-west-1/' | extaudit storage apply -f -

The file has the nine fields, or Teleport's form of the resource (kind, version, metadata, spec), with `options` beside
them; YAML or JSON. Where it names a revision the draft must be of that one; else the draft is what it is now, or there
is none yet. A file that asks for what is there already changes nothing.""",
)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(dir_okay=False, allow_dash=True),
    required=True,
    help="The file; - for stdin.",
)
@output_option
@connected
def command(client: Client, output: str, file: str) -> None:
    """Make the draft what a file says, and print it."""
    asked = _read(file)
    present = _present(client)
    if present is not None and _is_same(present, asked) and not _is_elsewhere(client, present):
        click.echo("the draft is so already", err=True)
        print_storage(present, output)
        return
    revision = asked.revision or (present.revision if present is not None else "")
    draft = client.storages.upsert(asked.spec, asked.options, asked.description, revision=revision)
    click.echo("the draft is changed" if present is not None else "there is a draft now", err=True)
    print_storage(draft, output)


def _read(name: str) -> StorageFile:
    try:
        with click.open_file(name, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise click.ClickException(visible(f"{name} can't be read: {error.strerror}")) from None
    try:
        return read_storage_file(data)
    except FileProblems as found:
        for problem in found.problems[:_MOST_TOLD]:
            click.echo(visible(f"{name}:{problem}" if problem.line else f"{name}: {problem}"), err=True)
        if more := found.problems[_MOST_TOLD:]:
            click.echo(f"{visible(name)}: and {len(more)} more", err=True)
        count = count_text(len(found.problems), "problem")
        raise click.ClickException(f"the file has {count}; nothing was done") from None


def _present(client: Client) -> ExternalAuditStorage | None:
    from extaudit_client import NotFound

    try:
        return client.storages.draft()
    except NotFound:
        return None


def _is_same(present: ExternalAuditStorage, asked: StorageFile) -> bool:
    told = (present.spec, present.options, present.description)
    return told == (asked.spec, _with_defaults(asked.options), asked.description)


def _is_elsewhere(client: Client, present: ExternalAuditStorage) -> bool:
    """Whether the integration has got a role of another account since: then the draft is to be made for that one."""
    from extaudit_client import NotFound, PermissionDenied

    try:
        role_arn = client.integrations.get(present.spec.integration_name).role_arn
    except (NotFound, PermissionDenied):
        return False
    return role_arn.split(":")[4:5] != [present.account_id]


def _with_defaults(options: StorageOptions) -> StorageOptions:
    given: dict[str, Any] = {name: getattr(options, name) or default for name, default in _DEFAULTS.items()}
    if given["object_lock_mode"] == "none":
        given["object_lock_days"] = options.object_lock_days
    return replace(options, **given)
