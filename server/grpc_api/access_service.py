"""AccessService: what roles allow, and locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from extaudit.v1 import access_service_pb2 as pb

from rbac.roles import Role
from server.access.locks import Lock
from server.errors import InvalidRequest, Violation
from server.grpc_api.access_messages import check_response, lock_message, role_message
from server.grpc_api.access_requests import asked_identity, lock_request
from server.grpc_api.call import Call
from server.grpc_api.listing import page_of, page_token, page_violations, position_of
from server.grpc_api.use_cases import Locks, Rights

_ROLES: Final = "roles"
_LOCKS: Final = "locks"
MAX_ID_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class AccessServicer:
    """The methods of AccessService."""

    rights: Rights
    locks: Locks

    async def ListRoles(self, request: pb.ListRolesRequest, _call: Call) -> pb.ListRolesResponse:  # noqa: N802
        """A page of the loaded roles."""
        after = _position(_ROLES, request)
        policy = self.rights.policy()
        roles = [role for name, role in policy.loaded.items() if name > after]
        shown, token = page_of(roles, request.page_size, role_message, _role_token)
        return pb.ListRolesResponse(roles=shown, next_page_token=token, policy_digest=policy.digest)

    async def CheckAccess(self, request: pb.CheckAccessRequest, call: Call) -> pb.CheckAccessResponse:  # noqa: N802
        """Whether an identity may do something, and why."""
        identity = asked_identity(request, call.access.identity)
        return check_response(self.rights.check(identity, request.kind, request.verb))

    async def CreateLock(self, request: pb.CreateLockRequest, call: Call) -> pb.CreateLockResponse:  # noqa: N802
        """Bar someone."""
        return pb.CreateLockResponse(lock=lock_message(await self.locks.add(call.access, lock_request(request))))

    async def ListLocks(self, request: pb.ListLocksRequest, _call: Call) -> pb.ListLocksResponse:  # noqa: N802
        """A page of the locks in force."""
        after = _position(_LOCKS, request)
        locks = [lock for lock in self.locks.in_force() if _place(lock) > after]
        shown, token = page_of(locks, request.page_size, lock_message, _lock_token)
        return pb.ListLocksResponse(locks=shown, next_page_token=token)

    async def DeleteLock(self, request: pb.DeleteLockRequest, call: Call) -> pb.DeleteLockResponse:  # noqa: N802
        """End a lock."""
        if not 1 <= len(request.id) <= MAX_ID_CHARACTERS:
            raise InvalidRequest([Violation("id", f"must be 1 to {MAX_ID_CHARACTERS} characters")])
        await self.locks.remove(call.access, request.id)
        return pb.DeleteLockResponse()


def _position(name: str, request: pb.ListRolesRequest | pb.ListLocksRequest) -> str:
    if violations := page_violations(request.page_size):
        raise InvalidRequest(violations)
    return position_of(name, request.page_token)


def _place(lock: Lock) -> str:
    """Where a lock is in the order of the list, as a text that sorts alike."""
    return f"{lock.created_ms:020d}/{lock.id}"


def _lock_token(lock: Lock) -> str:
    return page_token(_LOCKS, _place(lock))


def _role_token(role: Role) -> str:
    return page_token(_ROLES, role.name)
