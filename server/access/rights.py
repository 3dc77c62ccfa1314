"""What the loaded roles are, and what they let an identity do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rbac.explanations import Explanation, explain
from rbac.identities import Identity
from rbac.policy import Policy
from server.access.lock_table import LockTable

__all__ = ["CheckedAccess", "Rights"]


class PolicySource(Protocol):
    """Holds the policy in use."""

    @property
    def current(self) -> Policy:
        """The policy in use; the next look may give another."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedAccess:
    """What an identity may do. `locked`: a lock bars it from everything, whatever the explanation says."""

    explanation: Explanation
    locked: bool
    policy_digest: str


class Rights:
    """Answers questions about the policy in use and the locks in force; touches nothing but memory."""

    def __init__(self, policy: PolicySource, locks: LockTable) -> None:
        self._policy = policy
        self._locks = locks

    def policy(self) -> Policy:
        """The policy in use."""
        return self._policy.current

    def check(self, identity: Identity, kind: str, verb: str) -> CheckedAccess:
        """Tell whether the identity may use the verb on the kind, and why."""
        policy = self._policy.current
        return CheckedAccess(explain(policy, identity, kind, verb), self._locks.bars(identity), policy.digest)
