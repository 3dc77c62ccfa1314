"""What docs/rbac.md says of conditions and events comes out so: what an allow rule shows, and a deny rule hides."""

from __future__ import annotations

import json
import re

import pytest

from rbac.condition_grammar import parse_condition
from rbac.identities import Identity
from rbac.policy import Policy
from rbac.roles import Role, Rule
from server.audit_log.access import Access
from server.audit_log.search.rights import condition_of
from server.storage.value_matching import holds
from tests.contract.search_rig import ALICE
from tests.docs.walk import ROOT

PAGE = (ROOT / "docs" / "rbac.md").read_text()
ROWS = re.findall(r"^\| `(event\..+?)` \| `(\{.*?\})` \| (shows it|.) \| (hides it|.) \|$", PAGE, re.M)
ALL = Rule(frozenset({"event"}), frozenset({"list"}))


def shows(identity: Identity, event: str, *, allow: tuple[Rule, ...], deny: tuple[Rule, ...]) -> bool:
    policy = Policy.of([Role("auditor", allow, deny, 1)])
    condition = condition_of(Access(identity, "peer", "id", policy.admits(identity, "event", ("list",))))
    assert condition is not None
    return holds(condition, json.loads(event))


def test_there_are_rows() -> None:
    assert len(ROWS) == 6


@pytest.mark.parametrize(("text", "event", "allow", "deny"), ROWS)
def test_a_row_says_what_becomes_of_the_event(text: str, event: str, allow: str, deny: str) -> None:
    rule = Rule(ALL.kinds, ALL.verbs, parse_condition(text.replace("\\|", "|")))
    assert shows(ALICE, event, allow=(rule,), deny=()) is (allow == "shows it")
    assert shows(ALICE, event, allow=(ALL,), deny=(rule,)) is (deny != "hides it")
