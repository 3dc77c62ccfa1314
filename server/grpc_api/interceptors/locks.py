"""Whether a lock bars the caller: asked before its roles, and again for every message of a stream."""

from __future__ import annotations

from server.errors import PermissionDenied
from server.grpc_api.call import Call, Check
from server.grpc_api.use_cases import LockCheck


def lock_check(locks: LockCheck) -> Check:
    """Refuse the call of an identity that a lock bars. The caller isn't told which lock, nor why."""

    def check(call: Call) -> None:
        identity = call.identity
        if identity is not None and locks.bars(identity):
            raise PermissionDenied("access is locked", reason="LOCKED")

    return check
