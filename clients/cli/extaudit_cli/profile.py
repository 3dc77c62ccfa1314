"""The group `extaudit profile`: named connections, so that nobody types addresses and paths twice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from extaudit_cli.commands import Group
from extaudit_cli.connecting import connection_options
from extaudit_cli.output import output_option, print_facts, print_table, write_json
from extaudit_cli.profile_file import (
    KEYS,
    NONE,
    OUTPUTS,
    PATHS,
    ProfileProblem,
    Profiles,
    changing,
    profiles_path,
    read_profiles,
    write_profiles,
)
from extaudit_cli.suggestions import profile_names
from extaudit_cli.target import ORDER
from extaudit_cli.text import visible

_HOW_TO_ADD: Final = "no profiles; add one: extaudit profile add NAME --address HOST:PORT …"


@click.group(
    cls=Group,
    epilog=f"""\b
Examples:
  extaudit profile add prod --address audit.example.org:9443 --ca ca.crt --cert me.crt --key me.key --use
  extaudit profile add lab --data-dir /srv/extaudit/data --default-output jsonl
  extaudit profile list
  extaudit profile show prod
  extaudit profile use lab
  extaudit profile use none
  extaudit profile remove lab
  extaudit status --profile prod

{ORDER}

The file is profiles.toml in $XDG_CONFIG_HOME/extaudit or ~/.config/extaudit. It holds paths, no key and no token, and
isn't used when others may write it.""",
)
def command() -> None:
    """Keep connections under names."""


def _connection_options(add: Any) -> Any:
    for option in reversed(connection_options(variables=False)):
        add = option(add)
    return add


@command.command(
    epilog="""\b
Examples:
  extaudit profile add prod --address audit.example.org:9443 --ca ca.crt --cert me.crt --key me.key --use
  extaudit profile add ci --address audit.example.org:9444 --ca ca.crt --token-file /run/token --replace

Paths are kept as absolute ones. Nothing is taken from the environment."""
)
@click.argument("name")
@_connection_options
@click.option("--default-output", "form", type=click.Choice(OUTPUTS), help="Form of output where --output isn't given.")
@click.option("--use", "used", is_flag=True, help="Use it from now on where no profile is named.")
@click.option("--replace", is_flag=True, help="Though there is one of this name.")
@output_option
def add(name: str, form: str | None, used: bool, replace: bool, output: str, **given: Path | str | None) -> None:
    """Add a profile."""
    values = {key: os.path.abspath(value) if key in PATHS else str(value) for key, value in given.items() if value}
    values |= {"output": form} if form else {}
    if not values:
        raise click.UsageError("a profile keeps something: give --address with files, --data-dir, or --default-output")
    path = profiles_path(os.environ)
    _check_address(values.get("address"), path.parent)
    with _problems(), changing(path):
        before = read_profiles(path)
        if name in before.named and not replace:
            raise click.ClickException(f"there is a profile {name} already; --replace replaces it")
        after = before.with_profile(name, values)
        write_profiles(path, Profiles(after.named, name) if used else after)
    for key in sorted(PATHS - {"data_dir"}):
        if key in values and not Path(values[key]).exists():
            click.echo(visible(f"Warning: there is no file {values[key]} yet ({key})"), err=True)
    _done(output, f"profile {name} is kept in {path}" + ", and used from now on" * used, name=name, used=used)


@command.command(
    name="list",
    epilog="""\b
Examples:
  extaudit profile list
  extaudit profile list --output json""",
)
@output_option
def list_(output: str) -> None:
    """List the profiles; * marks the one that is used."""
    with _problems():
        profiles = read_profiles(profiles_path(os.environ))
    used = os.environ.get("EXTAUDIT_PROFILE") or profiles.use
    records = [_record(name, values, used) for name, values in sorted(profiles.named.items())]
    if output == "json":
        write_json(records)
    elif output == "jsonl":
        for record in records:
            write_json(record, indent=None)
    else:
        rows = [("*" if each["used"] else "", each["name"], each.get("address", ""), _as(each)) for each in records]
        print_table(("", "NAME", "ADDRESS", "AS"), rows, _HOW_TO_ADD)


@command.command(
    epilog="""\b
Examples:
  extaudit profile show
  extaudit profile show prod"""
)
@click.argument("name", required=False, shell_complete=profile_names)
@output_option
def show(name: str | None, output: str) -> None:
    """Show a profile; without NAME the one that is used."""
    with _problems():
        profiles = read_profiles(profiles_path(os.environ))
        used = os.environ.get("EXTAUDIT_PROFILE") or profiles.use
        found = name or used
        if found in ("", NONE):
            raise click.ClickException("no profile is used; name one, or see: extaudit profile list")
        record = _record(found, profiles.get(found), used)
    if output != "table":
        write_json(record, indent=2 if output == "json" else None)
        return
    rows = [("name", found + (" (used)" if record["used"] else ""))]
    rows += [(key, record[key]) for key in KEYS if key in record]
    print_facts(("SETTING", "VALUE"), rows)


@command.command(
    epilog="""\b
Examples:
  extaudit profile use prod
  extaudit profile use none"""
)
@click.argument("name", shell_complete=profile_names)
@output_option
def use(name: str, output: str) -> None:
    """Use a profile wherever none is named; `none` for no profile."""
    path = profiles_path(os.environ)
    with _problems(), changing(path):
        profiles = read_profiles(path)
        if name != NONE:
            profiles.get(name)
        write_profiles(path, Profiles(profiles.named, "" if name == NONE else name))
    if os.environ.get("EXTAUDIT_PROFILE"):
        click.echo("Warning: EXTAUDIT_PROFILE is set here, and goes before it", err=True)
    _done(output, "no profile is used" if name == NONE else f"profile {name} is used from now on", name=name, used=True)


@command.command(
    epilog="""\b
Examples:
  extaudit profile remove lab"""
)
@click.argument("name", shell_complete=profile_names)
@output_option
def remove(name: str, output: str) -> None:
    """Remove a profile; the files that it names stay."""
    path = profiles_path(os.environ)
    with _problems(), changing(path):
        write_profiles(path, read_profiles(path).without(name))
    _done(output, f"profile {name} is removed", name=name, removed=True)


def _check_address(address: str | None, folder: Path) -> None:
    if address is None:
        return
    from extaudit_client import ExtauditError
    from extaudit_client.files import find_connection

    try:
        find_connection({}, folder, address=address)
    except ExtauditError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except ProfileProblem as problem:
        raise click.ClickException(visible(str(problem))) from None


def _done(output: str, text: str, **record: str | bool) -> None:
    if output == "table":
        click.echo(visible(text))
    else:
        write_json(record, indent=2 if output == "json" else None)


def _record(name: str, values: Mapping[str, str], used: str) -> dict[str, Any]:
    return {"name": name, "used": name == used, **values}


def _as(record: Mapping[str, Any]) -> str:
    """Who calls: the file that says it."""
    return str(record.get("token_file") or record.get("cert") or record.get("data_dir", ""))
