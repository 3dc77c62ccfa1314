"""What roles allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1 import role_pb2

from extaudit_client.names import ACCESS_BASES, ACCESS_DECISIONS, IDENTITY_KINDS, name_of, value_of


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Verbs on kinds, `*` for all; `condition` is empty where the rule always holds."""

    kinds: tuple[str, ...]
    verbs: tuple[str, ...]
    condition: str


@dataclass(frozen=True, slots=True)
class Role:
    """A loaded role; `preset` where it comes with the service."""

    name: str
    preset: bool
    allow: tuple[RoleRule, ...]
    deny: tuple[RoleRule, ...]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An identity to ask about: `kind` is component or user; `traits` are names with values."""

    kind: str
    name: str
    roles: tuple[str, ...] = ()
    traits: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class DecidingRule:
    """A rule that decides: `index` is its place, from 0, among the role's deny or allow rules."""

    role: str
    deny: bool
    index: int
    rule: RoleRule


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """Whether an identity may do something.

    `decision` is deny, allow or allow_if; `basis` says what it rests on, such as rules, no_rule, unknown_role, lock.
    """

    decision: str
    basis: str
    rules: tuple[DecidingRule, ...]
    policy_digest: str


def check_request(kind: str, verb: str, identity: Hypothesis | None) -> pb.CheckAccessRequest:
    """Write a question; without an identity it is about the caller.

    Raises:
        ValueError: the identity's kind isn't known.
    """
    request = pb.CheckAccessRequest(kind=kind, verb=verb)
    if identity is not None:
        kind_value: Any = value_of(identity.kind, IDENTITY_KINDS)  # enum values are plain numbers when they run
        request.identity.kind = kind_value
        request.identity.name = identity.name
        request.identity.roles.extend(identity.roles)
        for name, values in identity.traits:
            request.identity.traits.add(name=name, values=values)
    return request


def check_from(message: pb.CheckAccessResponse) -> AccessCheck:
    """Read an answer."""
    return AccessCheck(
        name_of(message.decision, ACCESS_DECISIONS),
        name_of(message.basis, ACCESS_BASES),
        tuple(DecidingRule(each.role, each.deny, each.index, _rule(each.rule)) for each in message.rules),
        message.policy_digest,
    )


def role_from(message: role_pb2.Role) -> Role:
    """Read a role."""
    return Role(message.name, message.preset, _rules(message.allow), _rules(message.deny))


def _rules(messages: Iterable[role_pb2.RoleRule]) -> tuple[RoleRule, ...]:
    return tuple(_rule(message) for message in messages)


def _rule(message: role_pb2.RoleRule) -> RoleRule:
    return RoleRule(tuple(message.kinds), tuple(message.verbs), message.condition)
