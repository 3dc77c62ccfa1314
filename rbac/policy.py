"""The policy: all loaded roles, and what they let an identity do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rbac.casbin_policy import CasbinPolicy
from rbac.decisions import DecisionTable
from rbac.identities import COMPONENT_ROLES, Identity, IdentityKind
from rbac.permissions import Alternative, Permission
from rbac.role_files import read_presets, read_roles, role_files_in
from rbac.roles import Role, Rule


@dataclass(frozen=True, slots=True)
class Policy:
    """A fixed set of roles. A change of roles is another Policy."""

    roles: frozenset[str]
    """The names of all loaded roles, presets included."""
    digest: str
    """SHA-256, lower-case hex, of all roles and rules, in whatever order and files they came."""
    _decisions: DecisionTable = field(repr=False, compare=False)

    @classmethod
    def of(cls, roles: Sequence[Role]) -> Policy:
        """Build the policy of these roles, whose names differ."""
        return cls(frozenset(role.name for role in roles), _digest(roles), DecisionTable(CasbinPolicy(roles)))

    def decide(self, identity: Identity, kind: str, verbs: tuple[str, ...]) -> bool:
        """Tell whether the identity may do all of the verbs on the kind; no verb at all is refused."""
        if not verbs or not self.recognises(identity):
            return False
        is_user = identity.kind is IdentityKind.USER
        roles = identity.roles
        return all(self._decisions.decide(roles, is_user, kind, verb) for verb in verbs)

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

    def permits(self, identity: Identity | None, permission: Permission | None) -> tuple[Alternative, ...] | None:
        """Tell whether the identity may call a method with this permission, None where it may not.

        Otherwise the alternatives it holds: none where the permission has none. `permission` is None for a method
        without a row, `identity` for a peer whose certificate gives none.
        """
        if permission is None:
            return None
        if permission.anyone:
            return ()
        if identity is None or not self.recognises(identity):
            return None
        if permission.any_role:
            return ()
        return tuple(held for held in permission.alternatives if self.decide(identity, *held)) or None


def load_policy(files: Sequence[Path]) -> Policy:
    """Load the presets and these files of roles.

    Raises:
        PolicyError: something in a file is refused, and with it all of them.
    """
    return Policy.of(read_roles(files, read_presets()))


def load_policy_folder(folder: Path | None) -> Policy:
    """Load the presets and the folder's `*.yaml` and `*.yml`; without a folder, the presets alone.

    Raises:
        PolicyError: the folder can't be read, or something in a file is refused, and with it all of them.
    """
    return load_policy(role_files_in(folder) if folder else ())


def _digest(roles: Iterable[Role]) -> str:
    content = {role.name: {"allow": _canonical(role.allow), "deny": _canonical(role.deny)} for role in roles}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _canonical(rules: Iterable[Rule]) -> list[tuple[list[str], list[str]]]:
    return sorted((sorted(rule.kinds), sorted(rule.verbs)) for rule in set(rules))
