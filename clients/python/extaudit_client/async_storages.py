"""As `storages`, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from extaudit_client import storage_calls
from extaudit_client.calling import Caller
from extaudit_client.connection_checks import TEST_SECONDS, ConnectionCheck, ConnectionTestEnd, step_from, test_request
from extaudit_client.diversions import Diversion
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan
from extaudit_client.paging import async_pages
from extaudit_client.storage_rows import ExternalAuditStorage, Promotion, StorageOptions, StorageSpec


class AsyncStorages:
    """Sets External Audit Storage up; got from AsyncClient.storages. `Storages` says what each method does."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def generate(
        self, integration_name: str, region: str = "", options: StorageOptions | None = None, description: str = ""
    ) -> ExternalAuditStorage:
        """Make a draft whose names nobody has."""
        return await self._caller.run_async(storage_calls.generate(integration_name, region, options, description))

    async def create(
        self, spec: StorageSpec, options: StorageOptions | None = None, description: str = ""
    ) -> ExternalAuditStorage:
        """Make a draft of given names."""
        return await self._caller.run_async(storage_calls.create(spec, options, description))

    async def upsert(
        self, spec: StorageSpec, options: StorageOptions | None = None, description: str = "", *, revision: str
    ) -> ExternalAuditStorage:
        """Make the draft so, where it is of this revision."""
        return await self._caller.run_async(storage_calls.upsert(spec, options, description, revision))

    async def draft(self) -> ExternalAuditStorage:
        """Give the draft."""
        return await self._caller.run_async(storage_calls.draft())

    async def cluster(self) -> ExternalAuditStorage:
        """Give the storage in force."""
        return await self._caller.run_async(storage_calls.cluster())

    async def delete_draft(self, revision: str = "") -> None:
        """Delete the draft."""
        await self._caller.run_async(storage_calls.delete_draft(revision))

    async def test(
        self, stage: str = "draft", role_arn: str = ""
    ) -> AsyncGenerator[ConnectionCheck | ConnectionTestEnd, None]:
        """Test whether everything works: each check as it ends, and last how the test ended."""
        request, method = test_request(stage, role_arn), self._caller.stubs.storages.TestConnection
        with self._caller.errors():
            stream = method(request, timeout=TEST_SECONDS)
            try:
                async for answer in stream:
                    yield step_from(answer)
            finally:
                stream.cancel()

    async def promote(self, revision: str, *, force: bool = False, reason: str = "") -> ExternalAuditStorage:
        """Have the draft of this revision come into force."""
        return await self._caller.run_async(storage_calls.promote(revision, reason, force=force))

    async def disable(self, revision: str = "", reason: str = "") -> None:
        """Go back to the default storage."""
        await self._caller.run_async(storage_calls.disable(revision, reason))

    async def divert(
        self, storage_id: str, to: str = "default", *, reason: str = "", validate_only: bool = False
    ) -> Diversion:
        """Take what waits for a storage that is gone for good to the default one."""
        call = storage_calls.divert(storage_id, to, reason, validate_only=validate_only)
        return await self._caller.run_async(call)

    async def promotions(self) -> AsyncIterator[Promotion]:
        """Give the history of what changed where new data goes, newest first."""
        async for page in async_pages(lambda token: self._caller.run_async(storage_calls.promotions(token)), ""):
            for promotion in page.items:
                yield promotion

    async def iam_policy(
        self, stage: str = "draft", role_arn: str = "", *, without_kms: bool = False
    ) -> RolePolicyPlan:
        """Give the policy that a role needs."""
        return await self._caller.run_async(storage_calls.iam_policy(stage, role_arn, without_kms=without_kms))

    async def infrastructure(self, stage: str = "draft") -> InfrastructurePlan:
        """Give the plan of all that must be there in AWS."""
        return await self._caller.run_async(storage_calls.infrastructure(stage))
