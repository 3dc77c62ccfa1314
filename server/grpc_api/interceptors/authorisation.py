"""Whether the caller may: the method's row in the table of permissions, put to the policy as it is now."""

from __future__ import annotations

from rbac.identities import Identity
from rbac.permissions import Permission
from rbac.policy import Grant
from server.errors import PermissionDenied
from server.grpc_api.call import Call, Check
from server.grpc_api.use_cases import Authoriser, PolicySource

MAX_REMEMBERED = 4096


def authorisation(policy: PolicySource, permission: Permission | None) -> Check:
    """Set what the caller is granted, or refuse the call. Without a row every call is refused."""
    grants = _Grants(permission)

    def authorise(call: Call) -> None:
        current = policy.current
        granted = grants.find(current, call.identity)
        if granted is None:
            hidden = current.refusal(call.identity, permission)
            raise PermissionDenied("access denied", hidden=hidden, **_needed(permission))
        call.granted, call.condition = granted.alternatives, granted.condition

    return authorise


class _Grants:
    """What the policy in use grants those who called last. Policies and identities never change: others come."""

    def __init__(self, permission: Permission | None) -> None:
        self._permission = permission
        self._policy: Authoriser | None = None
        self._known: dict[int, tuple[Identity, Grant | None]] = {}

    def find(self, policy: Authoriser, identity: Identity | None) -> Grant | None:
        if identity is None:
            return policy.permits(identity, self._permission)
        if policy is not self._policy or len(self._known) >= MAX_REMEMBERED:
            self._policy, self._known = policy, {}
        # By the object, as hashing an identity costs more than the decision. It is kept, so that no other one can come
        # to stand at the same place in memory.
        known = self._known.get(id(identity))
        if known is None:
            known = self._known[id(identity)] = identity, policy.permits(identity, self._permission)
        return known[1]


def _needed(permission: Permission | None) -> dict[str, str]:
    """Kind and verbs of the first alternative: the call's own need, which its documentation states. What is needed
    beside it is `also`, such as `integration:read`."""
    if permission is None or not permission.alternatives:
        return {}
    kind, verbs = permission.alternatives[0]
    also = ",".join(f"{other}:{verb}" for other, needed in permission.also for verb in needed)
    return {"kind": kind, "verb": ",".join(verbs)} | ({"also": also} if also else {})
