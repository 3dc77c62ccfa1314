"""Why the policy decides as it does: which rules of an identity's roles decide about one verb on one kind.

The policy decides; a walk over the rules, slow and outside of every call's way, finds those that it rests on.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from rbac.binding import Binding
from rbac.casbin_policy import WRITTEN_OUT
from rbac.formulas import ALWAYS, NEVER, Formula
from rbac.identities import Identity, IdentityKind
from rbac.kinds import root_of
from rbac.policy import Policy
from rbac.roles import WILDCARD, Role, Rule


class Outcome(enum.Enum):
    """What is decided, whatever the resource, or depending on it."""

    DENY = "deny"
    ALLOW = "allow"
    ALLOW_IF = "allow_if"


class Basis(enum.Enum):
    """What an outcome rests on."""

    RULES = "rules"
    NO_RULE = "no_rule"
    NO_ROLE = "no_role"
    UNKNOWN_ROLE = "unknown_role"
    ROLE_OF_OTHER_KIND = "role_of_other_kind"


@dataclass(frozen=True, slots=True)
class DecidingRule:
    """A rule that decides: `index` is its place among the role's deny or allow rules, from 0."""

    role: str
    deny: bool
    index: int
    rule: Rule


@dataclass(frozen=True, slots=True)
class Explanation:
    """An outcome, and the rules it rests on: deny rules first, each effect sorted by role and index."""

    outcome: Outcome
    basis: Basis
    rules: tuple[DecidingRule, ...] = ()


def explain(policy: Policy, identity: Identity, kind: str, verb: str) -> Explanation:
    """Tell what the policy decides about one verb on one kind, neither of them `*`, and why."""
    if not identity.roles:
        return Explanation(Outcome.DENY, Basis.NO_ROLE)
    if not identity.roles <= policy.roles:
        return Explanation(Outcome.DENY, Basis.UNKNOWN_ROLE)
    if not policy.recognises(identity):
        return Explanation(Outcome.DENY, Basis.ROLE_OF_OTHER_KIND)
    formula = policy.admits(identity, kind, (verb,))
    rules = _Rules.about(policy, identity, kind, verb)
    if formula == ALWAYS:
        return Explanation(Outcome.ALLOW, Basis.RULES, rules.allowing)
    if formula == NEVER and rules.denying:
        return Explanation(Outcome.DENY, Basis.RULES, rules.denying)
    if formula == NEVER and not rules.allow:
        return Explanation(Outcome.DENY, Basis.NO_RULE)
    # Also a denial that follows from several conditions together, or from how many there are.
    outcome = Outcome.DENY if formula == NEVER else Outcome.ALLOW_IF
    return Explanation(outcome, Basis.RULES, (*rules.deny, *rules.allowing))


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules about a question that can apply to an identity, whatever the resource or depending on it."""

    deny: tuple[DecidingRule, ...]
    denying: tuple[DecidingRule, ...]
    """Those of `deny` that apply whatever the resource."""
    allow: tuple[DecidingRule, ...]
    allowing: tuple[DecidingRule, ...]
    """Those of `allow` that apply whatever the resource; where none does, all."""

    @classmethod
    def about(cls, policy: Policy, identity: Identity, kind: str, verb: str) -> _Rules:
        roles = [policy.loaded[name] for name in sorted(identity.roles)]
        binding = Binding(identity, root_of(kind))
        is_user = identity.kind is IdentityKind.USER
        wildcards = not (is_user and (kind, verb) in WRITTEN_OUT)
        # When a deny rule doesn't apply, and when an allow rule does.
        passed = [(each, _passed(each, binding)) for each in _matching(roles, kind, verb, deny=True, wildcards=True)]
        met = [(each, _met(each, binding)) for each in _matching(roles, kind, verb, deny=False, wildcards=wildcards)]
        allow = tuple(each for each, formula in met if formula != NEVER)
        return cls(
            tuple(each for each, formula in passed if formula != ALWAYS),
            tuple(each for each, formula in passed if formula == NEVER),
            allow,
            tuple(each for each, formula in met if formula == ALWAYS) or allow,
        )


def _passed(deciding: DecidingRule, binding: Binding) -> Formula:
    where = deciding.rule.where
    return binding.certainly_not(where) if where else NEVER


def _met(deciding: DecidingRule, binding: Binding) -> Formula:
    where = deciding.rule.where
    return binding.certainly(where) if where else ALWAYS


def _matching(roles: list[Role], kind: str, verb: str, *, deny: bool, wildcards: bool) -> Iterator[DecidingRule]:
    for role in roles:
        for index, rule in enumerate(role.deny if deny else role.allow):
            if _covers(rule.kinds, kind, wildcards) and _covers(rule.verbs, verb, wildcards):
                yield DecidingRule(role.name, deny, index, rule)


def _covers(names: frozenset[str], name: str, wildcards: bool) -> bool:
    return name in names or (wildcards and WILDCARD in names)
