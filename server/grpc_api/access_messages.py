"""From roles, locks and explanations to AccessService's messages."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1 import lock_pb2, role_pb2

from rbac.explanations import Basis, DecidingRule, Outcome
from rbac.roles import Role, Rule
from server.access.locks import Lock
from server.access.rights import CheckedAccess
from server.audit_log.receipts import Emitter
from server.grpc_api.messages import identity_message, timestamp_message

MAX_RULES: Final = 1000

_OUTCOMES: Final[Mapping[Outcome, pb.AccessDecision.ValueType]] = MappingProxyType(
    {
        Outcome.DENY: pb.ACCESS_DECISION_DENY,
        Outcome.ALLOW: pb.ACCESS_DECISION_ALLOW,
        Outcome.ALLOW_IF: pb.ACCESS_DECISION_ALLOW_IF,
    }
)
_BASES: Final[Mapping[Basis, pb.AccessBasis.ValueType]] = MappingProxyType(
    {
        Basis.RULES: pb.ACCESS_BASIS_RULES,
        Basis.NO_RULE: pb.ACCESS_BASIS_NO_RULE,
        Basis.NO_ROLE: pb.ACCESS_BASIS_NO_ROLE,
        Basis.UNKNOWN_ROLE: pb.ACCESS_BASIS_UNKNOWN_ROLE,
        Basis.ROLE_OF_OTHER_KIND: pb.ACCESS_BASIS_ROLE_OF_OTHER_KIND,
    }
)


def lock_message(lock: Lock) -> lock_pb2.Lock:
    """One lock."""
    return lock_pb2.Lock(
        id=lock.id,
        target=lock_pb2.LockTarget(**{lock.target.value: lock.name}),
        reason=lock.reason,
        create_time=timestamp_message(lock.created_ms),
        creator=identity_message(Emitter(*lock.creator)),
        expire_time=None if lock.expires_ms is None else timestamp_message(lock.expires_ms),
    )


def role_message(role: Role) -> role_pb2.Role:
    """One role."""
    return role_pb2.Role(
        name=role.name,
        preset=role.preset,
        allow=[_rule(rule) for rule in role.allow],
        deny=[_rule(rule) for rule in role.deny],
    )


def check_response(checked: CheckedAccess) -> pb.CheckAccessResponse:
    """The answer to CheckAccess."""
    if checked.locked:
        return pb.CheckAccessResponse(
            decision=pb.ACCESS_DECISION_DENY, basis=pb.ACCESS_BASIS_LOCK, policy_digest=checked.policy_digest
        )
    explanation = checked.explanation
    return pb.CheckAccessResponse(
        decision=_OUTCOMES[explanation.outcome],
        basis=_BASES[explanation.basis],
        rules=[_deciding(rule) for rule in explanation.rules[:MAX_RULES]],
        policy_digest=checked.policy_digest,
    )


def _deciding(deciding: DecidingRule) -> pb.DecidingRule:
    return pb.DecidingRule(role=deciding.role, deny=deciding.deny, index=deciding.index, rule=_rule(deciding.rule))


def _rule(rule: Rule) -> role_pb2.RoleRule:
    return role_pb2.RoleRule(
        kinds=sorted(rule.kinds), verbs=sorted(rule.verbs), condition=rule.where.text if rule.where else ""
    )
