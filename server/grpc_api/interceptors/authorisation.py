"""Whether the caller may: the method's row in the table of permissions, put to the policy as it is now."""

from __future__ import annotations

from rbac.permissions import Permission
from server.errors import PermissionDenied
from server.grpc_api.call import Call, Check
from server.grpc_api.use_cases import PolicySource


def authorisation(policy: PolicySource, permission: Permission | None) -> Check:
    """Set what the caller is granted, or refuse the call. Without a row every call is refused."""

    def authorise(call: Call) -> None:
        granted = policy.current.permits(call.identity, permission)
        if granted is None:
            raise PermissionDenied("access denied", **_needed(permission))
        call.granted, call.condition = granted.alternatives, granted.condition

    return authorise


def _needed(permission: Permission | None) -> dict[str, str]:
    """Kind and verbs of the first alternative: the call's own need, which its documentation states."""
    if permission is None or not permission.alternatives:
        return {}
    kind, verbs = permission.alternatives[0]
    return {"kind": kind, "verb": ",".join(verbs)}
