"""From AccessService's requests to what use cases take; every wrong field is named, all at once."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import access_service_pb2 as pb
from extaudit.v1 import event_pb2, lock_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from rbac.identities import Identity, IdentityKind
from server.access.locks import LockRequest, LockTarget
from server.errors import InvalidRequest, Violation

MAX_NAME_CHARACTERS: Final = 512
MAX_REASON_CHARACTERS: Final = 1024
MAX_ITEMS: Final = 1000
MAX_TRAIT_NAME_CHARACTERS: Final = 256
MAX_SECONDS: Final = 253_402_300_799
"""The end of the year 9999."""

_WORD: Final = re.compile(r"[A-Za-z0-9_./:-]{1,64}")
_SERIAL: Final = re.compile(r"[0-9a-f]{1,40}")
_KINDS: Final[Mapping[int, IdentityKind]] = MappingProxyType(
    {event_pb2.IDENTITY_KIND_COMPONENT: IdentityKind.COMPONENT, event_pb2.IDENTITY_KIND_USER: IdentityKind.USER}
)


def lock_request(request: pb.CreateLockRequest) -> LockRequest:
    """The lock that a CreateLock request asks for.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    field = request.target.WhichOneof("target")
    name = getattr(request.target, field) if field else ""
    if field == "certificate_serial":
        digits = name.replace(":", "").lower()
        name = digits.lstrip("0") or digits[:1]
    violations = _violations_of_target(request.target, name)
    violations += _violations_of_text("reason", request.reason, MAX_REASON_CHARACTERS)
    expires_ms = None
    if request.HasField("expire_time"):
        expires_ms = _milliseconds(request.expire_time)
        violations += _violations_of_end(request.expire_time, expires_ms)
    if violations:
        raise InvalidRequest(violations)
    return LockRequest(LockTarget(field), name, request.reason, expires_ms, request.force)


def asked_identity(request: pb.CheckAccessRequest, caller: Identity) -> Identity:
    """The identity that a CheckAccess request asks about.

    Raises:
        InvalidRequest: with a violation for every wrong field of the request.
    """
    violations = [
        Violation(name, "must be 1 to 64 characters of A-Z a-z 0-9 _ . / : -")
        for name in ("kind", "verb")
        if not _WORD.fullmatch(getattr(request, name))
    ]
    if request.HasField("identity"):
        violations += _violations_of_identity(request.identity)
    if violations:
        raise InvalidRequest(violations)
    if not request.HasField("identity"):
        return caller
    asked = request.identity
    traits = tuple((trait.name, tuple(trait.values)) for trait in asked.traits)
    return Identity(_KINDS[asked.kind], asked.name, frozenset(asked.roles), traits=traits)


def _violations_of_target(target: lock_pb2.LockTarget, name: str) -> list[Violation]:
    field = target.WhichOneof("target")
    if field is None:
        return [Violation("target", "must have exactly one of its fields set")]
    if field == "certificate_serial" and not _SERIAL.fullmatch(name):
        return [Violation("target.certificate_serial", "must be 1 to 40 hexadecimal digits, with or without colons")]
    return _violations_of_text(f"target.{field}", name, MAX_NAME_CHARACTERS)


def _violations_of_text(field: str, text: str, characters: int) -> list[Violation]:
    if 1 <= len(text) <= characters and "\0" not in text:
        return []
    return [Violation(field, f"must be 1 to {characters} characters, none of them NUL")]


def _violations_of_end(end: Timestamp, end_ms: int) -> list[Violation]:
    if not (end.seconds <= MAX_SECONDS and 0 <= end.nanos <= 999_999_999 and end_ms > time.time_ns() // 1_000_000):
        return [Violation("expire_time", "must be in the future and before the year 10000")]
    return []


def _violations_of_identity(asked: pb.HypotheticalIdentity) -> list[Violation]:
    found = []
    if asked.kind not in _KINDS:
        found.append(Violation("identity.kind", "must be a component or a user"))
    found += _violations_of_text("identity.name", asked.name, MAX_NAME_CHARACTERS)
    for name in ("roles", "traits"):
        if len(getattr(asked, name)) > MAX_ITEMS:
            found.append(Violation(f"identity.{name}", f"must be at most {MAX_ITEMS}"))
    for index, trait in enumerate(asked.traits[:MAX_ITEMS]):
        field = f"identity.traits[{index}]"
        found += _violations_of_text(f"{field}.name", trait.name, MAX_TRAIT_NAME_CHARACTERS)
        if len(trait.values) > MAX_ITEMS:
            found.append(Violation(f"{field}.values", f"must be at most {MAX_ITEMS}"))
    if len({trait.name for trait in asked.traits}) < len(asked.traits):
        found.append(Violation("identity.traits", "must have each name once"))
    return found


def _milliseconds(at: Timestamp) -> int:
    return at.seconds * 1000 + at.nanos // 1_000_000
