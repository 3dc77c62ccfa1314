"""From Casbin's yes or no to a verdict that names conditions: one question for each condition that may matter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from rbac.casbin_policy import ALLOW, DENY, Assumed
from rbac.conditions import Condition
from rbac.decisions import AllowIf, Verdict
from rbac.roles import WILDCARD, Role, Rule

MAX_CONDITIONS: Final = 64
"""Different conditions that one verdict may depend on; what depends on more is denied."""

_NONE: Final[Assumed] = frozenset()


class Enforcer(Protocol):
    """Decides if just the assumed conditions are true."""

    def enforce(self, roles: frozenset[str], is_user: bool, kind: str, verb: str, assumed: Assumed) -> bool:
        """Decide one verb on one kind for a caller with these roles."""
        ...


class Verdicts:
    """Finds out which conditions decide. As slow as its enforcer, and for one thread at a time."""

    def __init__(self, roles: Sequence[Role], enforcer: Enforcer) -> None:
        self._enforcer = enforcer
        self._conditional = {
            role.name: [
                (effect, rule)
                for effect, rules in ((ALLOW, role.allow), (DENY, role.deny))
                for rule in rules
                if rule.where
            ]
            for role in roles
        }

    def decide(self, roles: frozenset[str], is_user: bool, kind: str, verb: str) -> Verdict:
        """Decide one verb on one kind for a caller with these roles."""
        question = (roles, is_user, kind, verb)
        settled = self._enforcer.enforce(*question, _NONE)
        found = dict.fromkeys(self._candidates(roles, kind, verb))
        if not found:
            return settled
        if len(found) > MAX_CONDITIONS:
            return False
        allow: list[Condition] = []
        if not settled:
            allow = [
                condition
                for effect, condition in found
                if effect == ALLOW and self._enforcer.enforce(*question, frozenset({(ALLOW, condition.text)}))
            ]
            if not allow:
                return False
        allowing = frozenset((ALLOW, condition.text) for condition in allow)
        deny = [
            condition
            for effect, condition in found
            if effect == DENY and not self._enforcer.enforce(*question, allowing | {(DENY, condition.text)})
        ]
        return AllowIf(tuple(allow), tuple(deny)) if allow or deny else True

    def _candidates(self, roles: frozenset[str], kind: str, verb: str) -> Iterator[tuple[str, Condition]]:
        """Conditions of the rules that may answer the question; whether they do is Casbin's to say."""
        for role in sorted(roles):
            for effect, rule in self._conditional.get(role, ()):
                if rule.where is not None and _may_cover(rule, kind, verb):
                    yield effect, rule.where


def _may_cover(rule: Rule, kind: str, verb: str) -> bool:
    return not rule.kinds.isdisjoint({kind, WILDCARD}) and not rule.verbs.isdisjoint({verb, WILDCARD})
