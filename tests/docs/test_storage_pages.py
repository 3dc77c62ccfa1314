"""The pages on External Audit Storage tell of everything that is planned, and of nothing else."""

from __future__ import annotations

import re

from server.external_storage.iam_policy import iam_policy
from server.external_storage.planning import DATES, infrastructure_plan
from server.storage.spec import StorageOptions
from tests.docs.walk import ROOT
from tests.unit.external_storage.specs import ACCOUNT, KEY, ROLE, SPEC


def rows(page: str, first: str) -> list[str]:
    """The lines of tables that begin with code whose text matches `first`, in their first column."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    return [line for line in lines if re.match(rf"\| `{first}", line)]


def test_each_action_of_the_policy_has_one_row_that_says_what_it_is_for() -> None:
    statements = iam_policy(SPEC, "aws", ACCOUNT, KEY)["Statement"]
    actions = sorted(action for statement in statements for action in statement["Action"])
    cells = [line.split("|")[1] for line in rows("iam-policy.md", "[a-z0-9]+:[A-Z]")]
    assert sorted(action for cell in cells for action in re.findall(r"`([^`]+)`", cell)) == actions
    assert [line.split("`")[1] for line in rows("iam-policy.md", "[A-Z]")] == [each["Sid"] for each in statements]


def test_each_lifecycle_rule_is_in_the_table() -> None:
    plan = infrastructure_plan(SPEC, StorageOptions(retention_days=1460), ROLE, "cluster")
    page = (ROOT / "docs" / "planned-infrastructure.md").read_text()
    table = [line for line in page.splitlines() if re.match(r"\| (transient|long-term)", line)]
    told = re.findall(r"`(Expire\w+)`", "\n".join(table))
    assert sorted(told) == sorted(rule.id for bucket in plan.buckets for rule in bucket.lifecycle_rules)
    assert f"`{DATES}`" in page
    assert all(f"`{tag}`" in page for tag, _ in plan.workgroup.tags)
