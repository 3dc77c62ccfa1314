"""Integrations and what uses them, on one real state database: also where both change at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rbac.identities import Identity, IdentityKind
from server.audit_log.access import Access
from server.errors import Aborted, AuditStoreError, FailedPrecondition, NotFound
from server.external_storage.drafts import DraftRequest
from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import PromotionKind
from server.integrations.integration import Integration, RoleArn
from server.integrations.integrations import Integrations, IntegrationUpdate
from server.state.integrations import SqlIntegrations
from server.storage.spec import StorageOptions, StorageSpec
from tests.loops import in_loop
from tests.storages_under_test import ACCOUNT, Storages, storages

ROUNDS = 15
ADMIN = Access(Identity(IdentityKind.USER, "root", frozenset({"editor"})), "ipv4:127.0.0.1:1", "r-1")
ROLE = RoleArn("aws", ACCOUNT, "/", "audit")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Storages]:
    with storages(tmp_path) as made:
        yield made


def integrations_of(state: Storages) -> Integrations:
    return Integrations(SqlIntegrations(state.engine), lambda: frozenset({"default"}), lambda: state.now_ms)


def draft_of(name: str) -> DraftRequest:
    return DraftRequest(StorageSpec(name, "us-west-2", "", "", "", "", "", "", ""), StorageOptions())


def role(name: str) -> RoleArn:
    return RoleArn("aws", ACCOUNT, "/", name)


@in_loop
async def test_an_integration_that_is_deleted_while_a_draft_is_made_of_it_leaves_one_of_both(state: Storages) -> None:
    integrations, ended = integrations_of(state), set()
    for number in range(ROUNDS):
        name = f"n{number}"
        await integrations.create(ADMIN, name, ROLE)
        deleting, drafting = integrations.delete(ADMIN, name, ""), state.drafts.generate(ADMIN, draft_of(name))
        both = (deleting, drafting) if number % 2 else (drafting, deleting)
        failures = [each for each in await asyncio.gather(*both, return_exceptions=True) if isinstance(each, Exception)]
        [failure] = failures
        assert isinstance(failure, AuditStoreError)
        drafted = isinstance(failure, FailedPrecondition)
        assert drafted or isinstance(failure, NotFound)
        ended.add(drafted)
        if drafted:
            assert (await integrations.get(name)).name == name
            await state.drafts.delete(ADMIN, "")
    assert ended


@in_loop
async def test_of_two_changes_from_one_revision_one_is_made(state: Storages) -> None:
    integrations = integrations_of(state)
    made = await integrations.create(ADMIN, "ours", ROLE)
    for number in range(ROUNDS):
        asked = [
            IntegrationUpdate("ours", role(f"r{number}-{which}"), made.revision, may_change_role=True)
            for which in range(2)
        ]
        answers = await asyncio.gather(*(integrations.update(ADMIN, each) for each in asked), return_exceptions=True)
        [changed] = [each for each in answers if isinstance(each, Integration)]
        [stale] = [each for each in answers if isinstance(each, Exception)]
        assert isinstance(stale, Aborted)
        made = await integrations.get("ours")
        assert made == changed


@in_loop
async def test_a_role_that_changes_while_the_integration_is_deleted_is_of_nothing_or_gone(state: Storages) -> None:
    integrations = integrations_of(state)
    for number in range(ROUNDS):
        made = await integrations.create(ADMIN, "ours", ROLE)
        asked = IntegrationUpdate("ours", role(f"r{number}"), made.revision, may_change_role=True)
        answers = await asyncio.gather(
            integrations.update(ADMIN, asked),
            integrations.delete(ADMIN, "ours", made.revision),
            return_exceptions=True,
        )
        [failure] = [each for each in answers if isinstance(each, Exception)]
        assert isinstance(failure, NotFound | Aborted)
        if isinstance(failure, Aborted):
            await integrations.delete(ADMIN, "ours", "")


@in_loop
async def test_after_its_storage_is_disabled_an_integration_is_needed_only_for_what_is_on_its_way(
    state: Storages,
) -> None:
    on_its_way = {"default"}
    integrations = Integrations(SqlIntegrations(state.engine), lambda: frozenset(on_its_way), lambda: state.now_ms)
    draft = await state.drafts.generate(ADMIN, draft_of("production"))
    promotions = state.promotions
    await promotions.promote(ADMIN, PromotionRequest(draft.revision, force=True, reason="a drill"))
    await refused_as_used_by("cluster", integrations)
    await promotions.disable(ADMIN, "", "")
    on_its_way.add(draft.storage_id)
    await refused_as_used_by("deliveries", integrations)
    on_its_way.remove(draft.storage_id)
    await integrations.delete(ADMIN, "production", "")


async def refused_as_used_by(user: str, integrations: Integrations) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await integrations.delete(ADMIN, "production", "")
    assert (caught.value.reason, caught.value.metadata) == ("INTEGRATION_IN_USE", {"used_by": user})


@in_loop
async def test_the_role_of_the_storage_in_force_changes_after_a_test_with_it_and_is_told_in_the_history(
    state: Storages,
) -> None:
    integrations, new = integrations_of(state), role("new")
    draft = await state.drafts.generate(ADMIN, draft_of("production"))
    before = await integrations.get("production")
    await state.promotions.promote(ADMIN, PromotionRequest(draft.revision, force=True, reason="a drill"))
    other = IntegrationUpdate("production", role("other"), before.revision, may_change_role=True)
    tested = IntegrationUpdate("production", new, before.revision, may_change_role=True)
    state.add_test(draft.revision, role_arn=str(new), stage="cluster")
    with pytest.raises(FailedPrecondition):
        await integrations.update(ADMIN, other)
    await integrations.update(ADMIN, tested)
    [latest, _] = await state.promotions.history(None, 9)
    assert (latest.kind, latest.role_arn, latest.storage_id) == (
        PromotionKind.ROLE_CHANGE, str(new), draft.storage_id
    )  # fmt: skip
    assert latest.test is not None
    assert (latest.test.role_arn, latest.forced, latest.spec) == (str(new), False, draft.spec)
