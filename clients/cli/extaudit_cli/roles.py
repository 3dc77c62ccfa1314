"""The group `extaudit roles`: the roles a server has loaded, and files of roles on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from extaudit_cli.commands import Group
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, print_table, write_json
from extaudit_cli.role_question import can
from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import Client, Role, RoleRule

    from rbac.errors import PolicyError


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  extaudit roles list
  extaudit roles can list event --user alice --role auditor
  extaudit roles check roles""",
)
def command() -> None:
    """List the roles that a server has loaded, ask what they allow, and check files of roles."""


command.add_command(can)


@command.command(
    name="list",
    epilog="""\b
Examples:
  extaudit roles list
  extaudit roles list --output json""",
)
@output_option
@connected
def list_(client: Client, output: str) -> None:
    """List the loaded roles and their rules, presets included."""
    roles = list(client.roles())
    if output == "json":
        write_json([asdict(role) for role in roles])
    elif output == "jsonl":
        for role in roles:
            write_json(asdict(role), indent=None)
    else:
        _print_list(roles)


@command.command(
    epilog="""\b
Examples:
  extaudit roles check roles
  extaudit roles check roles --output jsonl"""
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR")
@output_option
def check(folder: Path, output: str) -> int:
    """Check all files of roles in DIR as a server would load them; none is needed.

    Prints every problem with file, line and column; exit code 1 where there is one. A server refuses such a set as a
    whole and keeps the roles it has.
    """
    from rbac.errors import PolicyError
    from rbac.role_files import examine_roles, read_presets, role_files_in

    try:
        files = role_files_in(folder)
        presets = read_presets()
        roles, problems = examine_roles(files, presets)
    except PolicyError as error:
        raise click.ClickException(visible(str(error))) from None
    problems = sorted(problems, key=lambda problem: (problem.file, problem.line, problem.column))
    counts = {"files": len(files), "roles": len(roles) - len(presets)}
    if output == "json":
        write_json({**counts, "problems": [_record(problem) for problem in problems]})
    elif output == "jsonl":
        for problem in problems:
            write_json(_record(problem), indent=None)
    else:
        lines = [str(problem) for problem in problems]
        found = (("file", counts["files"]), ("role", counts["roles"]), ("problem", len(problems)))
        lines.append(", ".join(count_text(count, what) for what, count in found))
        click.echo("\n".join(visible(line) for line in lines))
    return 1 if problems else 0


def _record(problem: PolicyError) -> dict[str, str | int]:
    return {"file": problem.file, "line": problem.line, "column": problem.column, "reason": problem.reason}


def _print_list(roles: list[Role]) -> None:
    rows = [
        (role.name, "yes" if role.preset else "", effect, *_cells(rule))
        for role in roles
        for effect, rule in _rules(role)
    ]
    print_table(("ROLE", "PRESET", "EFFECT", "KINDS", "VERBS", "CONDITION"), rows)


def _rules(role: Role) -> Sequence[tuple[str, RoleRule | None]]:
    return [*(("allow", rule) for rule in role.allow), *(("deny", rule) for rule in role.deny)] or [("", None)]


def _cells(rule: RoleRule | None) -> tuple[str, str, str]:
    return (", ".join(rule.kinds), ", ".join(rule.verbs), rule.condition) if rule else ("", "", "")
