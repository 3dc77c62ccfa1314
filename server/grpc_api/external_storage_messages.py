"""From external audit storages, their tests and history to messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import Final

from extaudit.v1 import external_audit_storage_pb2 as pb

from server.external_storage.storage import ExternalStorage, KeptTest, Promotion, PromotionKind, Stage
from server.grpc_api.external_storage_requests import LOCK_MODES
from server.grpc_api.messages import caller_message, timestamp_message
from server.storage.spec import ObjectLockMode, StorageOptions, StorageSpec

STAGES: Final[Mapping[Stage, pb.ExternalAuditStorageStage.ValueType]] = MappingProxyType(
    {
        Stage.DRAFT: pb.EXTERNAL_AUDIT_STORAGE_STAGE_DRAFT,
        Stage.CLUSTER: pb.EXTERNAL_AUDIT_STORAGE_STAGE_CLUSTER,
    }
)
_PROMOTIONS: Final[Mapping[PromotionKind, pb.PromotionKind.ValueType]] = MappingProxyType(
    {
        PromotionKind.PROMOTE: pb.PROMOTION_KIND_PROMOTE,
        PromotionKind.DISABLE: pb.PROMOTION_KIND_DISABLE,
        PromotionKind.ROLE_CHANGE: pb.PROMOTION_KIND_ROLE_CHANGE,
    }
)
_MODES: Final[Mapping[ObjectLockMode, int]] = MappingProxyType({mode: value for value, mode in LOCK_MODES.items()})


def storage_message(storage: ExternalStorage) -> pb.ExternalAuditStorage:
    """A draft, or the storage in force."""
    promoted = storage.promoted_ms
    return pb.ExternalAuditStorage(
        stage=STAGES[storage.stage],
        spec=spec_message(storage.spec),
        options=options_message(storage.options),
        revision=storage.revision,
        storage_id=storage.storage_id,
        account_id=storage.account_id,
        drafter=caller_message(storage.drafter),
        draft_time=timestamp_message(storage.drafted_ms),
        promoter=caller_message(storage.promoter),
        promote_time=timestamp_message(promoted) if promoted is not None else None,
        last_test=test_message(storage.last_test) if storage.last_test is not None else None,
        description=storage.description,
    )


def promotion_message(promotion: Promotion) -> pb.Promotion:
    """A row of the history."""
    drafted = promotion.drafted_ms
    return pb.Promotion(
        number=promotion.number,
        kind=_PROMOTIONS[promotion.kind],
        promote_time=timestamp_message(promotion.promoted_ms),
        promoter=caller_message(promotion.promoter),
        storage_id=promotion.storage_id,
        spec=spec_message(promotion.spec),
        options=options_message(promotion.options),
        role_arn=promotion.role_arn,
        drafter=caller_message(promotion.drafter),
        draft_time=timestamp_message(drafted) if drafted is not None else None,
        test=test_message(promotion.test) if promotion.test is not None else None,
        forced=promotion.forced,
        reason=promotion.reason,
        description=promotion.description,
    )


def spec_message(spec: StorageSpec) -> pb.ExternalAuditStorageSpec:
    """The nine fields."""
    return pb.ExternalAuditStorageSpec(**asdict(spec))


def options_message(options: StorageOptions) -> pb.ExternalAuditStorageOptions:
    """The options, with no default left out."""
    return pb.ExternalAuditStorageOptions(
        object_lock_mode=_MODES[options.object_lock_mode],  # type: ignore[arg-type]  # plain numbers when they run
        object_lock_days=options.object_lock_days,
        kms_key_arn=options.kms_key_arn,
        retention_days=options.retention_days,
        results_days=options.results_days,
        scan_limit_bytes=options.scan_limit_bytes,
    )


def test_message(test: KeptTest) -> pb.ConnectionTestSummary:
    """A connection test as it is kept."""
    return pb.ConnectionTestSummary(
        id=test.id,
        passed=test.passed,
        test_time=timestamp_message(test.tested_ms),
        tester=caller_message(test.tester),
        role_arn=test.role_arn,
    )
