"""The audit events of changes of external audit storages."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from server.audit_log.access import Access, caller_members
from server.audit_log.diverting import Backlog
from server.external_storage.storage import ExternalStorage, KeptTest, Promotion
from server.service_events import STORAGE_DISABLED, STORAGE_DIVERTED, STORAGE_ENABLED

MOST_RANGES = 1_000


def draft_event(kind: str, access: Access, draft: ExternalStorage) -> dict[str, object]:
    """A draft was made, changed or deleted."""
    return {"event": kind, **caller_members(access), **_storage(draft)}


def enabled_event(access: Access, cluster: ExternalStorage, promotion: Promotion, replaced: str) -> dict[str, object]:
    """A draft came into force where the storage `replaced` was active before."""
    told = {"event": STORAGE_ENABLED, **caller_members(access), **_storage(cluster), "replaced": replaced}
    drafted = {"drafter": _who(cluster.drafter), "drafted_ms": cluster.drafted_ms}
    test = _test(promotion.test) if promotion.test is not None else None
    forced = {"forced": promotion.forced, "reason": promotion.reason}
    return {**told, "role_arn": promotion.role_arn, **drafted, "test": test, **forced}


def disabled_event(access: Access, cluster: ExternalStorage, promotion: Promotion) -> dict[str, object]:
    """The storage that was in force isn't any more."""
    told = {"event": STORAGE_DISABLED, **caller_members(access), **_storage(cluster)}
    active = {"storage_id": promotion.storage_id, "replaced": cluster.storage_id}
    return {**told, **active, "role_arn": promotion.role_arn, "reason": promotion.reason}


def diverted_event(access: Access, storage_id: str, to: str, reason: str, backlog: Backlog) -> dict[str, object]:
    """What waited for a storage goes to another one."""
    told = {"event": STORAGE_DIVERTED, **caller_members(access), "storage_id": storage_id, "to": to, "reason": reason}
    counts = {"batches": backlog.batches, "events": backlog.events, "bytes": backlog.bytes}
    shown = [
        {"log_id": log_id, "first_sequence": first, "last_sequence": last}
        for log_id, first, last in backlog.sequences[:MOST_RANGES]
    ]
    return {**told, **counts, "sequences": shown, "more_sequences": max(0, len(backlog.sequences) - MOST_RANGES)}


def _storage(storage: ExternalStorage) -> dict[str, object]:
    options = asdict(storage.options) | {"object_lock_mode": storage.options.object_lock_mode.value}
    told = {"storage_id": storage.storage_id, "revision": storage.revision, "description": storage.description}
    return {**told, "details": asdict(storage.spec), "options": options}


def _test(test: KeptTest) -> dict[str, object]:
    return {"id": test.id, "tested_ms": test.tested_ms, "role_arn": test.role_arn, "tester": _who(test.tester)}


def _who(text: str) -> Any:
    return json.loads(text).get("caller") if text else None
