"""The command `extaudit roles can`: what a server's roles would decide, and by which rules."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.output import output_option, print_table, write_json
from extaudit_cli.suggestions import kinds, role_names, verbs
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import AccessCheck, Client, Hypothesis

_DECISIONS: Final = {"allow": "yes", "deny": "no", "allow_if": "where a condition holds"}
_BASES: Final = {
    "rules": "",
    "no_rule": "no rule of its roles allows it",
    "no_role": "it has no role",
    "unknown_role": "it has a role that isn't loaded",
    "role_of_other_kind": "it has a role that is for another kind of identity",
    "lock": "a lock bars it",
}


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit roles can list event
  extaudit roles can list event --user alice --role auditor
  extaudit roles can read session --user alice --role access --trait logins=root
  extaudit roles can create event --component 4f1c2b6e-8a53-4d0e-9a43-3f0f8d1f6c11 --role Auth --output json

Without --user and --component it is about yourself. Needs role:read. Exit code 1 when the answer is no; a condition
depends on the event or session, and counts as yes.""",
)
@click.argument("verb", shell_complete=verbs)
@click.argument("kind", shell_complete=kinds)
@click.option("--user", metavar="NAME", help="Ask about a user of this name.")
@click.option("--component", metavar="ID", help="Ask about a component of this id.")
@click.option("--role", "roles", multiple=True, shell_complete=role_names, help="A role it would have; again for more.")
@click.option("--trait", "traits", multiple=True, metavar="NAME=VALUE", help="A trait of the user; again for more.")
@output_option
@connected
def can(
    client: Client,
    verb: str,
    kind: str,
    user: str | None,
    component: str | None,
    roles: tuple[str, ...],
    traits: tuple[str, ...],
    output: str,
) -> int:
    """Ask whether somebody may use VERB on KIND, and why."""
    check = client.check_access(kind, verb, _hypothesis(user, component, roles, traits))
    if output == "table":
        _print(check, f"{user or component or 'you'}: {verb} {kind}")
    else:
        write_json(asdict(check), indent=2 if output == "json" else None)
    return 1 if check.decision == "deny" else 0


def _hypothesis(
    user: str | None, component: str | None, roles: tuple[str, ...], traits: tuple[str, ...]
) -> Hypothesis | None:
    if user is not None and component is not None:
        raise click.UsageError("--user and --component can't be given together")
    name = user if user is not None else component
    if name is None:
        if roles or traits:
            raise click.UsageError("--role and --trait need --user or --component")
        return None
    from extaudit_client import Hypothesis

    return Hypothesis("component" if user is None else "user", name, roles, _traits(traits))


def _traits(given: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The values of each trait, in the order given."""
    found: dict[str, tuple[str, ...]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError("a trait is NAME=VALUE, such as logins=root")
        found[name] = (*found.get(name, ()), value)
    return tuple(found.items())


def _print(check: AccessCheck, question: str) -> None:
    reason = _BASES.get(check.basis, check.basis)
    answer = _DECISIONS.get(check.decision, check.decision)
    click.echo(visible(f"{question}: {answer}" + (f" ({reason})" if reason else "")))
    rows = [
        (
            each.role,
            f"{'deny' if each.deny else 'allow'} {each.index + 1}",
            ", ".join(each.rule.kinds),
            ", ".join(each.rule.verbs),
            each.rule.condition,
        )
        for each in check.rules
    ]
    if rows:
        click.echo()
        print_table(("ROLE", "RULE", "KINDS", "VERBS", "CONDITION"), rows)
