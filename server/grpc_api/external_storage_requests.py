"""From ExternalAuditStorageService's requests to what use cases take."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from extaudit.v1 import external_audit_storage_pb2 as storage_pb
from extaudit.v1 import external_audit_storage_service_pb2 as pb

from server.errors import InvalidRequest, Violation
from server.external_storage.drafts import DraftRequest
from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import Stage
from server.integrations.integration import RoleArn
from server.storage.spec import ObjectLockMode, StorageOptions, StorageSpec

LOCK_MODES: Final[Mapping[int, ObjectLockMode]] = MappingProxyType(
    {
        storage_pb.OBJECT_LOCK_MODE_GOVERNANCE: ObjectLockMode.GOVERNANCE,
        storage_pb.OBJECT_LOCK_MODE_COMPLIANCE: ObjectLockMode.COMPLIANCE,
        storage_pb.OBJECT_LOCK_MODE_NONE: ObjectLockMode.NONE,
    }
)
STAGES: Final[Mapping[int, Stage]] = MappingProxyType(
    {
        storage_pb.EXTERNAL_AUDIT_STORAGE_STAGE_DRAFT: Stage.DRAFT,
        storage_pb.EXTERNAL_AUDIT_STORAGE_STAGE_CLUSTER: Stage.CLUSTER,
    }
)
_ROLE_ARN: Final = "must be arn:<partition>:iam::<12 digits>:role/<path and name>"
MAX_REVISION_CHARACTERS: Final = 64
MAX_REASON_CHARACTERS: Final = 1024
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
SPEC_FIELDS: Final = tuple(StorageSpec.__slots__)


def generated_draft(request: pb.GenerateDraftRequest) -> DraftRequest:
    """What GenerateDraft asks for; all other names are empty."""
    names = dict.fromkeys(SPEC_FIELDS, "")
    names |= {"integration_name": request.integration_name, "region": request.region}
    return _draft(StorageSpec(**names), request)


def asked_draft(request: pb.CreateDraftRequest | pb.UpsertDraftRequest) -> DraftRequest:
    """What CreateDraft or UpsertDraft asks for."""
    return _draft(StorageSpec(**{name: getattr(request.spec, name) for name in SPEC_FIELDS}), request)


def asked_role(request: pb.GetIamPolicyRequest | pb.TestConnectionRequest) -> tuple[Stage, RoleArn | None]:
    """The stage and the role that a request names; None for the integration's own.

    Raises:
        InvalidRequest: with a violation for each of them that is wrong.
    """
    stage, role = STAGES.get(request.stage), RoleArn.parse(request.role_arn)
    wrong = [] if stage else [_wrong_stage()]
    if request.role_arn and role is None:
        wrong.append(Violation("role_arn", _ROLE_ARN))
    if stage is None or wrong:
        raise InvalidRequest(wrong)
    return stage, role


def asked_stage(stage: int) -> Stage:
    """The stage that a request names.

    Raises:
        InvalidRequest: it names none.
    """
    if stage not in STAGES:
        raise InvalidRequest([_wrong_stage()])
    return STAGES[stage]


def _wrong_stage() -> Violation:
    return Violation("stage", "must be the draft or the cluster")


def promotion_request(request: pb.PromoteToClusterRequest) -> PromotionRequest:
    """What PromoteToCluster asks for.

    Raises:
        InvalidRequest: with a violation for every wrong field.
    """
    violations = revision_violations(request.revision)
    if not request.revision:
        violations.append(Violation("revision", "must be the revision of the draft"))
    violations += reason_violations(request.reason)
    if request.force and not request.reason.strip():
        violations.append(Violation("reason", "must say why it is forced"))
    refuse_wrong(violations)
    return PromotionRequest(request.revision, request.force, request.reason)


def revision_violations(revision: str) -> list[Violation]:
    """What is wrong with a revision."""
    if len(revision) <= MAX_REVISION_CHARACTERS:
        return []
    return [Violation("revision", f"must be at most {MAX_REVISION_CHARACTERS} characters")]


def reason_violations(reason: str) -> list[Violation]:
    """What is wrong with a reason."""
    if len(reason) <= MAX_REASON_CHARACTERS and "\0" not in reason:
        return []
    return [Violation("reason", f"must be at most {MAX_REASON_CHARACTERS} characters, none of them NUL")]


def history_position(position: str) -> int | None:
    """The number in a page token's position; None for the first page.

    Raises:
        InvalidRequest: it is none.
    """
    if not position:
        return None
    if not _NUMBER.fullmatch(position):
        raise InvalidRequest([Violation("page_token", "is not one of this list")], reason="INVALID_PAGE_TOKEN")
    return int(position)


def refuse_wrong(violations: list[Violation]) -> None:
    """Refuse a request with anything wrong.

    Raises:
        InvalidRequest: with these violations, where there are any.
    """
    if violations:
        raise InvalidRequest(violations)


def _draft(
    spec: StorageSpec, request: pb.GenerateDraftRequest | pb.CreateDraftRequest | pb.UpsertDraftRequest
) -> DraftRequest:
    options, known = request.options, StorageOptions()
    mode = LOCK_MODES.get(options.object_lock_mode or storage_pb.OBJECT_LOCK_MODE_GOVERNANCE)
    wrong = () if mode else (Violation("options.object_lock_mode", "must be one of the modes"),)
    default_days = 0 if mode is ObjectLockMode.NONE else known.object_lock_days
    asked = StorageOptions(
        mode or known.object_lock_mode,
        options.object_lock_days or default_days,
        options.kms_key_arn,
        options.retention_days,
        options.results_days or known.results_days,
        options.scan_limit_bytes or known.scan_limit_bytes,
    )
    return DraftRequest(spec, asked, request.description, wrong)
