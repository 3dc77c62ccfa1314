"""What docs/rbac.md shows is what is loaded."""

import re
from pathlib import Path

import pytest

from rbac.condition_grammar import parse_condition
from rbac.conditions import Relation
from rbac.policy import load_policy, load_policy_folder

PAGE = (Path(__file__).parents[3] / "docs" / "rbac.md").read_text()


def test_every_role_on_the_page_loads(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block)
    load_policy(sorted(tmp_path.iterdir()))


def test_every_function_is_on_the_page_and_no_other():
    table = PAGE[PAGE.index("### Functions") : PAGE.index("### What isn't there")]
    shown = {name for line in table.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)\(", line)}
    assert shown == {relation.value for relation in Relation} | {"set"}


def test_every_preset_is_on_the_page_and_no_other():
    table = PAGE[PAGE.index("## Presets") : PAGE.index("## Conditions")]
    shown = {name for line in table.splitlines() for name in re.findall(r"`([\w-]+)`", line.split(" | ")[0])}
    assert shown - {"access"} == load_policy_folder(None).roles - {"access"}
    assert "access" in shown


@pytest.mark.parametrize("cell", re.findall(r"^\| `(event\.\S+ [!=]= .*?)` \|", PAGE, re.MULTILINE))
def test_every_condition_in_a_table_is_one(cell):
    parse_condition(cell.replace("\\|", "|"))
