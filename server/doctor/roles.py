"""Roles: files that are refused, names that no file defines, permissions that no role gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from rbac.errors import PolicyError
from rbac.identities import COMPONENT_ROLES, Identity, IdentityKind
from rbac.permissions import PERMISSIONS
from rbac.policy import Policy, load_policy_folder
from rbac.role_files import examine_roles, read_presets, role_files_in
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Finding, Severity, Told, Unexamined
from server.state.database import StateFault

REFUSED: Final = Fault(
    "roles_refused",
    Severity.ERROR,
    "A file of roles is refused, and with it all of them: a running server keeps the roles it has, and none starts.",
    "Put the named place right; `extaudit roles check DIR` tells of each file before it is put in place.",
)
UNDEFINED: Final = Fault(
    "role_undefined",
    Severity.WARNING,
    "A certificate that was issued here has a role that isn't loaded: all its calls are refused.",
    "Write a file that defines the role, or issue a certificate with other roles.",
)
UNHELD: Final = Fault(
    "permission_unheld",
    Severity.NOTICE,
    "No loaded role lets anybody call an RPC.",
    "Give a role the kind and verbs that docs/permissions.md names, if somebody is to call it.",
)

FAULTS: Final = (REFUSED, UNDEFINED, UNHELD)


def check(at: DataAtHand) -> Told:
    """Load the roles as a server would."""
    folder = at.config.roles_dir or at.directory.roles
    try:
        files = role_files_in(folder) if folder.is_dir() or at.config.roles_dir else ()
        _, problems = examine_roles(files, read_presets())
    except PolicyError as error:
        problems = [error]
    for problem in problems:
        place = ":".join(str(number) for number in (problem.line, problem.column) if number)
        yield REFUSED.of(f"{problem.file}:{place}" if place else problem.file, problem.reason)
    if problems:
        raise Unexamined("with refused files nothing is known of what the roles give")
    policy = load_policy_folder(folder if folder.is_dir() else None)
    yield Fact("role files", len(files))
    yield Fact("roles", len(policy.roles))
    yield from _unheld(policy)
    yield from _undefined(at, policy)


def _undefined(at: DataAtHand, policy: Policy) -> Iterator[Finding]:
    try:
        issued = at.state.issued()
    except StateFault as fault:
        raise Unexamined("the state database, which has the issued certificates, can't be read") from fault
    holders = defaultdict[str, dict[str, None]](dict)
    for cert in issued:
        for role in cert.roles if cert.expires_ms > at.now_ms else ():
            if role not in policy.roles:
                holders[role][f"{cert.kind} {cert.name}"] = None
    for role, names in sorted(holders.items()):
        yield UNDEFINED.of(role, f"held by {', '.join(names)}")


def _unheld(policy: Policy) -> Iterator[Finding]:
    callers = [
        Identity(IdentityKind.COMPONENT if role in COMPONENT_ROLES else IdentityKind.USER, "someone", frozenset({role}))
        for role in sorted(policy.roles)
    ]
    for method, permission in PERMISSIONS.items():
        if permission.alternatives and not any(policy.permits(caller, permission) for caller in callers):
            yield UNHELD.of(method.removeprefix("/extaudit.v1.").replace("/", "."), f"needs {permission}")
