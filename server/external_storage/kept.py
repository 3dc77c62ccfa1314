"""External audit storages, their tests and history as the state keeps them, and back."""

from __future__ import annotations

import json
from dataclasses import asdict

from server.external_storage.storage import ExternalStorage, KeptTest, Promotion, PromotionKind, Stage
from server.state.external_storages import ConnectionTestRow, PromotionRow, StorageRow, StoragesView
from server.storage.spec import ObjectLockMode, StorageOptions, StorageSpec


def spec_text(spec: StorageSpec) -> str:
    """The nine fields as JSON."""
    return json.dumps(asdict(spec))


def spec_of(text: str) -> StorageSpec:
    """The nine fields from their JSON."""
    return StorageSpec(**json.loads(text))


def options_text(options: StorageOptions) -> str:
    """The options as JSON."""
    return json.dumps(asdict(options) | {"object_lock_mode": options.object_lock_mode.value})


def options_of(text: str) -> StorageOptions:
    """The options from their JSON."""
    members = json.loads(text)
    return StorageOptions(**members | {"object_lock_mode": ObjectLockMode(members["object_lock_mode"])})


def row_of(storage: ExternalStorage) -> StorageRow:
    """A draft, or the storage in force, as a row."""
    return StorageRow(
        storage.stage.value,
        spec_text(storage.spec),
        options_text(storage.options),
        storage.description,
        storage.revision,
        storage.storage_id,
        storage.account_id,
        storage.spec.integration_name,
        storage.drafter,
        storage.drafted_ms,
        storage.promoter,
        storage.promoted_ms,
    )


def storage_in(view: StoragesView, stage: Stage, now_ms: int) -> ExternalStorage | None:
    """The draft, or the storage in force, with the test that counts for it."""
    row = view.storage(stage.value)
    if row is None:
        return None
    integration = view.integration(row.integration)
    test = view.last_test(row.revision, row.integration, integration, now_ms) if integration is not None else None
    return ExternalStorage(
        stage,
        spec_of(row.spec),
        options_of(row.options),
        row.revision,
        row.storage_id,
        row.account_id,
        row.drafter,
        row.drafted_ms,
        row.promoter,
        row.promoted_ms,
        row.description,
        test_of(test) if test is not None else None,
    )


def specs_in(view: StoragesView) -> list[StorageSpec]:
    """The specs of every storage that is or was in force."""
    return [spec_of(each) for each in view.specs()]


def test_of(row: ConnectionTestRow) -> KeptTest:
    """A connection test from its row."""
    return KeptTest(
        row.id,
        Stage(row.stage),
        row.storage_revision,
        row.integration,
        row.integration_revision,
        row.role_arn,
        row.passed,
        row.tested_ms,
        row.tester,
    )


def test_text(test: KeptTest) -> str:
    """A connection test as JSON, as a row of the history keeps it."""
    return json.dumps(asdict(test) | {"stage": test.stage.value})


def promotion_row(promotion: Promotion, account_id: str) -> PromotionRow:
    """A row for the history; its number is given when it is added."""
    return PromotionRow(
        promotion.kind.value,
        promotion.promoted_ms,
        promotion.promoter,
        promotion.storage_id,
        spec_text(promotion.spec),
        options_text(promotion.options),
        promotion.description,
        account_id,
        promotion.spec.integration_name,
        promotion.role_arn,
        promotion.drafter,
        promotion.drafted_ms,
        test_text(promotion.test) if promotion.test is not None else None,
        promotion.forced,
        promotion.reason,
    )


def promotion_of(number: int, row: PromotionRow) -> Promotion:
    """A row of the history."""
    members = json.loads(row.test) if row.test is not None else None
    return Promotion(
        number,
        PromotionKind(row.kind),
        row.promoted_ms,
        row.promoter,
        row.storage_id,
        spec_of(row.spec),
        options_of(row.options),
        row.role_arn,
        row.drafter,
        row.drafted_ms,
        KeptTest(**members | {"stage": Stage(members["stage"])}) if members is not None else None,
        row.forced,
        row.reason,
        row.description,
    )
