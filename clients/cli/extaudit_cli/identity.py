"""The group `extaudit identity`: certificates of a data directory on this machine, beside a server or without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.commands import Group
from extaudit_cli.operator import operator
from extaudit_cli.output import output_option, print_facts, print_table, write_json
from extaudit_cli.suggestions import known_roles, role_names
from extaudit_cli.text import visible
from extaudit_cli.times import time_text

if TYPE_CHECKING:
    from server.certificates.issued import IssuedCertificate
    from server.certificates.issuing import IssuedFiles

_DEFAULT_DAYS = 30
_DIRECTORY = click.Path(file_okay=False, path_type=Path)

_data_dir = click.option(
    "--data-dir",
    type=_DIRECTORY,
    default=Path("data"),
    envvar="EXTAUDIT_DATA_DIR",
    show_default=True,
    show_envvar=True,
    help="The server's data directory.",
)
_days = click.option("--days", type=click.IntRange(1, 3650), default=_DEFAULT_DAYS, show_default=True, help="Its life.")
_out_dir = click.option("--out-dir", type=_DIRECTORY, help="Where the files go. [default: <data-dir>/identity]")


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  extaudit identity issue alice --role auditor --out-dir alice
  extaudit identity issue 4f1c2b6e-8a53-4d0e-9a43-3f0f8d1f6c11 --component --role Auth
  extaudit identity list
  extaudit identity renew alice --out-dir alice""",
)
def command() -> None:
    """Issue, list and renew certificates of a data directory; give up signing keys that can't be opened."""


@command.command(
    epilog="""\b
Examples:
  extaudit identity issue alice --role auditor --out-dir alice
  extaudit identity issue 4f1c2b6e-8a53-4d0e-9a43-3f0f8d1f6c11 --component --role Auth --days 90"""
)
@click.argument("name")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    shell_complete=role_names,
    help="A role of the identity; again for more.",
)
@click.option("--component", is_flag=True, help="NAME is the id of a Teleport component, the roles are system roles.")
@_days
@_out_dir
@_data_dir
@output_option
def issue(
    name: str, roles: tuple[str, ...], component: bool, days: int, out_dir: Path | None, data_dir: Path, output: str
) -> None:
    """Issue a certificate for a user, or with --component for a Teleport component."""
    with _problems():
        from server.certificates.issuing import issue_component, issue_user

        _warn_of_unknown(roles, data_dir)
        make = issue_component if component else issue_user
        _print_files(make(data_dir, name, roles, days, out_dir or data_dir / "identity"), output)


@command.command(
    name="list",
    epilog="""\b
Examples:
  extaudit identity list
  extaudit identity list --data-dir /srv/extaudit/data --output json""",
)
@_data_dir
@output_option
def list_(data_dir: Path, output: str) -> None:
    """List every certificate issued here, oldest first."""
    with _problems():
        from server.certificates.issuing import list_issued

        issued = list_issued(data_dir)
    if output == "json":
        write_json([_record(certificate) for certificate in issued])
    elif output == "jsonl":
        for certificate in issued:
            write_json(_record(certificate), indent=None)
    else:
        _print_list(issued)


@command.command(
    epilog="""\b
Examples:
  extaudit identity renew alice --out-dir alice
  extaudit identity renew admin --days 90"""
)
@click.argument("name")
@click.option("--kind", type=click.Choice(["user", "component"]), help="Where a user and a component have that name.")
@_days
@_out_dir
@_data_dir
@output_option
def renew(name: str, kind: str | None, days: int, out_dir: Path | None, data_dir: Path, output: str) -> None:
    """Issue again what was last issued to NAME: same roles, new key; the old certificate lives until it ends."""
    with _problems():
        from rbac.identities import IdentityKind
        from server.certificates import issuing

        wanted = IdentityKind(kind) if kind else None
        _print_files(issuing.renew(data_dir, name, out_dir or data_dir / "identity", days, wanted), output)


@command.command(
    name="forget-signing-keys",
    epilog="""\b
Examples:
  extaudit identity forget-signing-keys --reason 'the wrapping key is lost'

Exit code 1 while a service runs on the data directory: one that runs has its keys.""",
)
@click.option("--reason", required=True, help="Why; kept in the audit event.")
@_data_dir
@output_option
def forget_signing_keys(reason: str, data_dir: Path, output: str) -> None:
    """Give up the keys that sign tokens for AWS, since the key that encrypts them is lost for good.

    The next start makes new ones, and a new wrapping key where there is none. AWS refuses the service until it has
    fetched the new key set.
    """
    from server.data_directory import DataDirectoryProblem
    from server.integrations.key_forgetting import forget_signing_keys

    try:
        forgotten = forget_signing_keys(data_dir, reason, operator())
    except DataDirectoryProblem as problem:
        raise click.ClickException(visible(str(problem))) from None
    except OSError as error:
        raise click.ClickException(f"the data directory can't be used ({error.strerror})") from None
    if output == "table":
        click.echo(f"{len(forgotten)} signing keys are given up; the next start makes others")
    else:
        write_json({"forgotten": forgotten}, indent=2 if output == "json" else None)


@contextmanager
def _problems() -> Iterator[None]:
    from server.certificates.problems import CertificateProblem

    try:
        yield
    except CertificateProblem as problem:
        raise click.ClickException(visible(str(problem))) from None


def _warn_of_unknown(roles: tuple[str, ...], data_dir: Path) -> None:
    """Warn of roles that no file defines that a server would read: callers that carry one are refused."""
    known = known_roles(data_dir)
    for role in roles:
        if role not in known:
            where = f"no preset and no file in {data_dir / 'roles'}"
            click.echo(
                visible(f"Warning: {where} defines the role {role}; until one does, its calls are refused"), err=True
            )


def _print_files(files: IssuedFiles, output: str) -> None:
    paths = {"cert": str(files.certificate), "key": str(files.key), "ca": str(files.ca)}
    if output == "table":
        print_facts(("FILE", "PATH"), list(paths.items()))
    else:
        write_json(paths | {"issued": _record(files.record)}, indent=2 if output == "json" else None)


def _print_list(issued: list[IssuedCertificate]) -> None:
    headers = ("NAME", "KIND", "ROLES", "ISSUED", "EXPIRES", "SERIAL")
    rows = []
    for certificate in issued:
        issued_at, expires = _time(certificate.issued_ms), _time(certificate.expires_ms)
        roles = ", ".join(certificate.roles)
        rows.append((certificate.name, certificate.kind, roles, issued_at, expires, certificate.serial))
    print_table(headers, rows, "no certificate was issued here")


def _record(certificate: IssuedCertificate) -> dict[str, Any]:
    return {
        "name": certificate.name,
        "kind": certificate.kind,
        "roles": list(certificate.roles),
        "serial": certificate.serial,
        "not_before": _time(certificate.not_before_ms),
        "expires": _time(certificate.expires_ms),
        "issued": _time(certificate.issued_ms),
    }


def _time(milliseconds: int) -> str:
    return time_text(datetime.fromtimestamp(milliseconds / 1000, UTC))
