"""The policy: all loaded roles, and what they let an identity do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from rbac.binding import Binding
from rbac.casbin_policy import CasbinPolicy
from rbac.conditions import Root
from rbac.decisions import AllowIf, DecisionTable, Verdict
from rbac.formulas import ALWAYS, MAX_TESTS, NEVER, Formula, all_of, any_of, size_of
from rbac.identities import COMPONENT_ROLES, Identity, IdentityKind
from rbac.kinds import RECORDED, root_of
from rbac.permissions import Alternative, Permission
from rbac.role_files import check_folder, read_presets, read_roles, role_files_in
from rbac.roles import Role, Rule
from rbac.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller of a method is granted."""

    alternatives: tuple[Alternative, ...] = ()
    """The alternatives of the method's permission that are held, and what of `wider`."""
    condition: Formula = ALWAYS
    """What an object must be like for the method to show it or touch it; ALWAYS but for methods that see to it."""


_NO_ALTERNATIVES = Grant()


@dataclass(frozen=True, slots=True)
class Policy:
    """A fixed set of roles. A change of roles is another Policy."""

    roles: frozenset[str]
    """The names of all loaded roles, presets included."""
    digest: str
    """SHA-256 of the document, lower-case hex."""
    document: str = field(repr=False)
    """JSON of all roles and rules; the same for the same ones, in whatever order and files they came."""
    loaded: Mapping[str, Role] = field(repr=False, compare=False)
    """The roles by name, sorted."""
    _decisions: DecisionTable = field(repr=False, compare=False)

    @classmethod
    def of(cls, roles: Sequence[Role]) -> Policy:
        """Build the policy of these roles, whose names differ."""
        loaded = MappingProxyType({role.name: role for role in sorted(roles, key=lambda role: role.name)})
        document = _document(roles)
        digest = hashlib.sha256(document.encode()).hexdigest()
        decisions = DecisionTable(Verdicts(roles, CasbinPolicy(roles)))
        return cls(frozenset(loaded), digest, document, loaded, decisions)

    def decide(self, identity: Identity, kind: str, verbs: tuple[str, ...]) -> bool:
        """Tell whether the identity may do all of the verbs on the kind; no verb at all is refused.

        There is no object to look at, so what depends on one isn't allowed.
        """
        if not verbs or not self.recognises(identity):
            return False
        is_user = identity.kind is IdentityKind.USER
        for verb in verbs:
            verdict = self._decisions.decide(identity.roles, is_user, kind, verb)
            if verdict is not True and _formula(verdict, identity, root_of(kind)) != ALWAYS:
                return False
        return True

    def admits(self, identity: Identity, kind: str, verbs: tuple[str, ...]) -> Formula:
        """Tell what an object of the kind must be like for the identity to do all of the verbs on it.

        ALWAYS where it may with every object, NEVER where with none: the call is then to be refused, before any
        object is looked at. So is one whose formula would be larger than MAX_TESTS.
        """
        if not verbs or not self.recognises(identity):
            return NEVER
        is_user, root = identity.kind is IdentityKind.USER, root_of(kind)
        formula = all_of(
            _formula(self._decisions.decide(identity.roles, is_user, kind, verb), identity, root) for verb in verbs
        )
        if formula == ALWAYS:
            return ALWAYS
        # What comes in by a call is an object only after the decision, so nothing can be asked of it.
        comes_in = kind in RECORDED and "create" in verbs
        return NEVER if comes_in or size_of(formula) > MAX_TESTS else formula

    def recognises(self, identity: Identity) -> bool:
        """Tell whether the identity has roles, all of them loaded and all of them for its kind.

        A component has the roles of components only, a user none of them. The service calls no one's methods.
        """
        roles = identity.roles
        if not roles or not roles <= self.roles:
            return False
        if identity.kind is IdentityKind.USER:
            return roles.isdisjoint(COMPONENT_ROLES)
        return identity.kind is IdentityKind.COMPONENT and roles <= COMPONENT_ROLES

    def permits(self, identity: Identity | None, permission: Permission | None) -> Grant | None:
        """Tell what a method with this permission is granted to the identity, None where it may not call it.

        `permission` is None for a method without a row, `identity` for a peer whose certificate gives none.
        """
        if permission is None:
            return None
        if permission.anyone:
            return _NO_ALTERNATIVES
        if identity is None or not self.recognises(identity):
            return None
        if permission.any_role:
            return _NO_ALTERNATIVES
        if permission.by_object:
            [held] = permission.alternatives
            condition = self.admits(identity, *held)
            return None if condition == NEVER else Grant(permission.alternatives, condition)
        alternatives = self._held(identity, permission.alternatives)
        if not alternatives or self._held(identity, permission.also) != permission.also:
            return None
        return Grant(alternatives + self._held(identity, permission.wider))

    def _held(self, identity: Identity, asked: tuple[Alternative, ...]) -> tuple[Alternative, ...]:
        return tuple(each for each in asked if self.decide(identity, *each))

    def refusal(self, identity: Identity | None, permission: Permission | None) -> str:
        """Say why `permits` gives None, for those who look after the service; whom it refuses isn't told.

        `no_row` (the method has no row of permissions), `no_identity`, `no_role`, `unknown_role`, `role_of_other_kind`,
        or `rules`: no rule of the roles allows it, or one denies it.
        """
        if permission is None:
            return "no_row"
        if identity is None:
            return "no_identity"
        if not identity.roles:
            return "no_role"
        if not identity.roles <= self.roles:
            return "unknown_role"
        return "rules" if self.recognises(identity) else "role_of_other_kind"


def _formula(verdict: Verdict, identity: Identity, root: Root) -> Formula:
    if not isinstance(verdict, AllowIf):
        return ALWAYS if verdict else NEVER
    binding = Binding(identity, root)
    allowed = any_of(binding.certainly(condition) for condition in verdict.allow) if verdict.allow else ALWAYS
    return all_of([allowed, *(binding.certainly_not(condition) for condition in verdict.deny)])


def load_policy(files: Sequence[Path], account: int | None = None) -> Policy:
    """Load the presets and these files of roles; `account` as `examine_roles` has it.

    Raises:
        PolicyError: something in a file is refused, and with it all of them.
    """
    return Policy.of(read_roles(files, read_presets(), account))


def load_policy_folder(folder: Path | None, account: int | None = None) -> Policy:
    """Load the presets and the folder's `*.yaml` and `*.yml`; without a folder, the presets alone.

    What others than `account` and root can write is refused, folder or file; None is for what isn't in place yet.

    Raises:
        PolicyError: the folder can't be read, or something in a file is refused, and with it all of them.
    """
    if folder and account is not None:
        check_folder(folder, account)
    return load_policy(role_files_in(folder) if folder else (), account)


def _document(roles: Iterable[Role]) -> str:
    content = {role.name: {"allow": _canonical(role.allow), "deny": _canonical(role.deny)} for role in roles}
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _canonical(rules: Iterable[Rule]) -> list[tuple[list[str], list[str], str]]:
    return sorted(
        (sorted(rule.kinds), sorted(rule.verbs), rule.where.text if rule.where else "") for rule in set(rules)
    )
