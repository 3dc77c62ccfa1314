"""Commands and options that pages name, in text and in blocks, are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from extaudit_cli.main import PROGRAM
from extaudit_cli.tree import every_command

from tests.docs.console_blocks import shown
from tests.docs.test_links import PAGES, ROOT

COMMANDS = {node.path: node for node in every_command()}
OF_SERVE = set(re.findall(r"`(--[a-z-]+)`", (ROOT / "docs" / "configuration.md").read_text())) | {"--config"}
"""Its settings are options too, and made from the configuration when it is called."""
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
PRINTED = f"{PROGRAM} serves gRPC"


def calls(page: str) -> Iterator[list[str]]:
    """The words of each call in a block, or in code within text, up to what isn't the program's."""
    blocks = "\n".join(shown(page, "", "sh", "console"))
    text = re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)
    for code in [*blocks.replace("\\\n", " ").splitlines(), *re.findall(r"`([^`\n]+)`", text)]:
        for call in re.findall(rf"(?:^|bin/|[$|&(] ?)({PROGRAM} [^`|;&>#]+)", code):
            if not call.startswith(PRINTED):
                yield call.split()


def unknown(words: list[str]) -> list[str]:
    """The command, or the options of it, that aren't there."""
    path = words.pop(0)
    while words and re.fullmatch("[a-z-]+", words[0]) and isinstance(COMMANDS[path].command, click.Group):
        path = f"{path} {words.pop(0)}"
        if path not in COMMANDS:
            return [path]
    known = {name for parameter in COMMANDS[path].command.params for name in parameter.opts + parameter.secondary_opts}
    known |= OF_SERVE if path == f"{PROGRAM} serve" else set()
    options = re.findall(r"(?<![\w\'-])--?[a-z][a-z-]*(?=\s|=|$)", " ".join(words))
    return [f"{path} {option}" for option in options if option not in known | {"--help"}]


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_is_there(page: Path) -> None:
    assert [each for words in calls(page.read_text()) for each in unknown(words)] == []


def test_the_page_of_commands_has_what_differs_between_them_alone() -> None:
    page = (ROOT / "docs" / "commands.md").read_text()
    assert "| `--help` |" not in page
    assert "| `--config TEXT` |" in page, "no setting of the configuration, which has a page of its own"


def test_what_is_not_there_is_found() -> None:
    page = "`extaudit events serach` or `extaudit status --ouput json`\n```\nextaudit status --output json\n```\n"
    assert sorted(unknown(words) for words in calls(page)) == [
        [],
        ["extaudit events serach"],
        ["extaudit status --ouput"],
    ]
