"""From IntegrationService's requests to what use cases take; every wrong field is named, all at once."""

from __future__ import annotations

import re
from typing import Final

from extaudit.v1 import integration_pb2
from extaudit.v1 import integration_service_pb2 as pb

from server.errors import InvalidRequest, Violation
from server.integrations.integration import RoleArn
from server.integrations.integrations import IntegrationUpdate

MAX_REASON_CHARACTERS: Final = 1024
MAX_REVISION_CHARACTERS: Final = 64

_NAME: Final = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.@+-]{1,128}", re.ASCII)
_GIVEN: Final = ("create_time", "update_time", "creator", "web_identity")
"""What the service gives, beside the revision."""


def name_violations(name: str, field: str = "name") -> list[Violation]:
    """What is wrong with an integration's name."""
    if _NAME.fullmatch(name):
        return []
    return [Violation(field, "must be 1 to 128 characters of A-Z a-z 0-9 _ . @ + -, but not . or ..")]


def new_integration(request: pb.CreateIntegrationRequest) -> tuple[str, RoleArn]:
    """Name and role of the integration that a CreateIntegration request asks for.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    asked = request.integration
    role, violations = _checked(asked)
    if asked.revision:
        violations.append(Violation("integration.revision", "is given by the service, and must not be set"))
    violations += [
        Violation(f"integration.{field}", "is given by the service, and must not be set")
        for field in _GIVEN
        if asked.HasField(field)
    ]
    return asked.name, _valid(role, violations)


def integration_update(request: pb.UpdateIntegrationRequest, *, may_change_role: bool) -> IntegrationUpdate:
    """The change that an UpdateIntegration request asks for. What the service gives may be in it, and isn't looked at:
    so a client can send back what it got.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    asked, reason = request.integration, request.reason
    role, violations = _checked(asked)
    if not 1 <= len(asked.revision) <= MAX_REVISION_CHARACTERS:
        violations.append(Violation("integration.revision", "must be the revision that the change is made from"))
    if request.force and not reason:
        violations.append(Violation("reason", "must be there where the change is forced"))
    if len(reason) > MAX_REASON_CHARACTERS or "\0" in reason:
        violations.append(Violation("reason", f"must be at most {MAX_REASON_CHARACTERS} characters, none of them NUL"))
    role_arn = _valid(role, violations)
    return IntegrationUpdate(asked.name, role_arn, asked.revision, may_change_role, request.force, reason)


def _checked(asked: integration_pb2.Integration) -> tuple[RoleArn | None, list[Violation]]:
    violations = name_violations(asked.name, "integration.name")
    if asked.WhichOneof("kind") != "aws_oidc":
        return None, [*violations, Violation("integration.kind", "must have exactly one of its fields set")]
    role = RoleArn.parse(asked.aws_oidc.role_arn)
    if role is None:
        text = (
            "must be arn:<partition>:iam::<12 digits>:role/<path and name>, of the partition aws, aws-us-gov or aws-cn"
        )
        violations.append(Violation("integration.aws_oidc.role_arn", text))
    return role, violations


def _valid(role: RoleArn | None, violations: list[Violation]) -> RoleArn:
    if violations or role is None:
        raise InvalidRequest(violations)
    return role
