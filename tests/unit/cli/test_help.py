"""What the help of every command has, and that its examples are right."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from extaudit_cli.commands import Command, ConnectionOption, Group
from extaudit_cli.main import command as top
from extaudit_cli.needs import NEEDS
from extaudit_cli.output import FORMS
from extaudit_cli.tree import Node, calls_in, every_command

from rbac.permissions import PERMISSIONS

NODES = list(every_command())
LEAVES = [node for node in NODES if not node.is_group]
KEEPS_PROFILES = "extaudit profile add"
"""Has the options of a connection as values to keep."""


def named(nodes: list[Node]) -> list[object]:
    return [pytest.param(node, id=node.path) for node in nodes]


@pytest.mark.parametrize("node", named(NODES))
def test_every_command_has_a_line_of_summary_and_examples(node: Node) -> None:
    assert node.command.get_short_help_str(200).rstrip().endswith((".", "…")) or node.is_group
    assert node.examples, "add an epilog with `Examples:`"
    assert all(calls_in(line) for line in node.examples)
    assert any(f"{line} ".startswith(f"{node.path} ") or f" {node.path} " in line for line in node.examples)


@pytest.mark.parametrize("node", named(NODES))
def test_every_command_groups_its_options(node: Node) -> None:
    assert isinstance(node.command, Group | Command), "give it cls=Command, or cls=Group"


@pytest.mark.parametrize("node", named(LEAVES))
def test_every_command_has_the_same_forms_of_output(node: Node) -> None:
    outputs = [each for each in node.command.get_params(node.context) if each.name == "output"]
    assert [tuple(each.type.choices) for each in outputs if isinstance(each.type, click.Choice)] == [FORMS]


@pytest.mark.parametrize("node", named(LEAVES))
def test_every_option_says_what_it_is(node: Node) -> None:
    options = [each for each in node.command.get_params(node.context) if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


def test_a_profile_takes_nothing_from_the_environment_and_says_nothing_of_it() -> None:
    (adding,) = (node for node in NODES if node.path == KEEPS_PROFILES)
    options = [each for each in adding.command.params if isinstance(each, ConnectionOption)]
    assert len(options) == 6
    assert [each.name for each in options if "[" in (each.help or "") or "EXTAUDIT" in (each.help or "")] == []


def prepare(folder: Path) -> None:
    """What examples name."""
    for name in ("events.jsonl", "session.tar", "extaudit.toml"):
        (folder / name).touch()
    (folder / "roles").mkdir()


EXAMPLES = [(node.path, line) for node in NODES for line in node.examples]


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
def test_every_example_is_a_call_that_is_taken(
    path: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    for arguments in calls_in(line):
        parse(arguments)


def parse(arguments: list[str]) -> None:
    """Take a command line apart as running it would, without running anything."""
    command: click.Command = top
    context = command.make_context("extaudit", list(arguments))
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)
    context.close()


@pytest.mark.parametrize(
    ("line", "calls"),
    [
        ("extaudit status", [["status"]]),
        ("a | extaudit b -o - | grep extaudit > file", [["b", "-o", "-"]]),
        ("extaudit a && restart extaudit", [["a"]]),
        ("source <(extaudit completion bash)", [["completion", "bash"]]),
        ("extaudit a --field 'x=\"|\"' && extaudit b", [["a", "--field", 'x="|"'], ["b"]]),
    ],
)
def test_calls_are_found_in_lines_of_shell(line: str, calls: list[list[str]]) -> None:
    assert calls_in(line) == calls


def test_every_command_that_calls_a_service_says_what_it_needs() -> None:
    calling = {
        node.path.removeprefix("extaudit ")
        for node in LEAVES
        if any(isinstance(each, ConnectionOption) for each in node.command.params) and node.path != KEEPS_PROFILES
    }
    assert calling - NEEDS.keys() == set()
    known = {f"{kind}:{verb}" for row in PERMISSIONS.values() for kind, verbs in row.named for verb in verbs}
    named_needs = {word.rstrip(",") for need in NEEDS.values() for word in need.split() if ":" in word}
    assert named_needs <= known
