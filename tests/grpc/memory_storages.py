"""Stand-in for external audit storages behind the edge: keeps what it was asked, answers what a test tells it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from server.audit_log.access import Access
from server.errors import NotFound
from server.external_storage.backlogs import DiversionRequest, Diverted
from server.external_storage.connection_tests import TestEnd
from server.external_storage.drafts import DraftRequest, none_of
from server.external_storage.infrastructure import RolePolicyPlan
from server.external_storage.plans import PlannedStorage
from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import ExternalStorage, Promotion, Stage
from server.integrations.integration import RoleArn
from server.storage.connection import Check


@dataclass
class MemoryDrafts:
    """There is nothing, unless a test puts it into `kept`."""

    kept: dict[Stage, ExternalStorage] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def generate(self, access: Access, request: DraftRequest) -> ExternalStorage:
        return self._draft(access, request)

    async def create(self, access: Access, request: DraftRequest) -> ExternalStorage:
        return self._draft(access, request)

    async def upsert(self, access: Access, request: DraftRequest, revision: str) -> ExternalStorage:
        return self._draft(access, request, revision)

    async def get(self, stage: Stage) -> ExternalStorage:
        self.asked.append((stage,))
        if stage not in self.kept:
            raise none_of(stage)
        return self.kept[stage]

    async def find(self, stage: Stage) -> ExternalStorage | None:
        return self.kept.get(stage)

    async def delete(self, access: Access, revision: str) -> None:
        self.asked.append((access, revision))
        if Stage.DRAFT not in self.kept:
            raise none_of(Stage.DRAFT)

    def _draft(self, *asked: Any) -> ExternalStorage:
        self.asked.append(asked)
        if Stage.DRAFT not in self.kept:
            raise none_of(Stage.DRAFT)
        return self.kept[Stage.DRAFT]


@dataclass
class MemoryPlans:
    """Of nothing there is a plan."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def role_policy(
        self, stage: Stage, role: RoleArn | None = None, *, without_kms: bool = False
    ) -> RolePolicyPlan:
        self.asked.append((stage, role, without_kms))
        raise none_of(stage)

    async def infrastructure(self, stage: Stage) -> PlannedStorage:
        self.asked.append((stage,))
        raise none_of(stage)


@dataclass
class MemoryPromotions:
    """Nothing is ever promoted."""

    rows: list[Promotion] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def promote(self, access: Access, request: PromotionRequest) -> ExternalStorage:
        self.asked.append((access, request))
        raise none_of(Stage.DRAFT)

    async def disable(self, access: Access, revision: str, reason: str) -> None:
        self.asked.append((access, revision, reason))
        raise none_of(Stage.CLUSTER)

    async def history(self, before: int | None, limit: int) -> list[Promotion]:
        self.asked.append((before, limit))
        return [row for row in self.rows if before is None or row.number < before][:limit]


@dataclass
class MemoryBacklogs:
    """Nothing waits for anything, unless a test puts it into `waits`."""

    waits: dict[str, Diverted] = field(default_factory=dict)
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def divert(self, access: Access, request: DiversionRequest) -> Diverted:
        self.asked.append((access, request))
        if request.storage_id not in self.waits:
            raise NotFound("there is no such storage", storage=request.storage_id)
        return self.waits[request.storage_id]


@dataclass
class MemoryConnectionTests:
    """Of nothing there is a test."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)

    async def run(
        self, access: Callable[[], Access], stage: Stage, role: RoleArn | None
    ) -> AsyncGenerator[Check | TestEnd, None]:
        self.asked.append((access(), stage, role))
        raise none_of(stage)
        yield
