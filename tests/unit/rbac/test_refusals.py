"""Why a call is refused, as the audit event of it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from rbac.identities import Identity, IdentityKind
from rbac.permissions import SEARCH_EVENTS, Permission
from rbac.policy import load_policy_folder

DENY = """
kind: role
version: v7
metadata: {name: no-events}
spec:
  deny:
    rules:
      - {resources: [event], verbs: [list]}
"""


@pytest.mark.parametrize(
    ("kind", "roles", "cause"),
    [
        (IdentityKind.USER, [], "no_role"),
        (IdentityKind.USER, ["auditor", "gone"], "unknown_role"),
        (IdentityKind.USER, ["auditor", "Node"], "role_of_other_kind"),
        (IdentityKind.COMPONENT, ["auditor"], "role_of_other_kind"),
        (IdentityKind.USER, ["editor"], "rules"),
        (IdentityKind.USER, ["auditor", "no-events"], "rules"),
        (IdentityKind.COMPONENT, ["Node"], "rules"),
    ],
)
def test_the_cause_of_a_refusal(tmp_path: Path, kind: IdentityKind, roles: list[str], cause: str) -> None:
    (tmp_path / "deny.yaml").write_text(DENY)
    policy, identity = load_policy_folder(tmp_path), Identity(kind, "someone", frozenset(roles))
    permission = Permission((SEARCH_EVENTS,))
    assert policy.permits(identity, permission) is None
    assert policy.refusal(identity, permission) == cause


def test_a_method_without_a_row_and_a_peer_without_an_identity() -> None:
    policy = load_policy_folder(None)
    assert policy.refusal(None, None) == "no_row"
    assert policy.refusal(None, Permission((SEARCH_EVENTS,))) == "no_identity"
