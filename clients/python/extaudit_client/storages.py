"""The part of the client that deals with External Audit Storage."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from extaudit_client import storage_calls
from extaudit_client.calling import Caller
from extaudit_client.connection_checks import TEST_SECONDS, ConnectionCheck, ConnectionTestEnd, step_from, test_request
from extaudit_client.diversions import Diversion
from extaudit_client.infrastructure import InfrastructurePlan, RolePolicyPlan
from extaudit_client.paging import pages
from extaudit_client.storage_rows import ExternalAuditStorage, Promotion, StorageOptions, StorageSpec


class Storages:
    """Sets External Audit Storage up; got from Client.storages. Every method raises as the client's.

    `stage` is `draft` or `cluster`, which is the storage in force; where there is none of it, NotFound.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def generate(
        self, integration_name: str, region: str = "", options: StorageOptions | None = None, description: str = ""
    ) -> ExternalAuditStorage:
        """Make a draft whose names nobody has; in the service's own region where none is given.

        Raises:
            AlreadyExists: there is a draft.
        """
        return self._caller.run(storage_calls.generate(integration_name, region, options, description))

    def create(
        self, spec: StorageSpec, options: StorageOptions | None = None, description: str = ""
    ) -> ExternalAuditStorage:
        """Make a draft of given names. Raises as `generate` does."""
        return self._caller.run(storage_calls.create(spec, options, description))

    def upsert(
        self, spec: StorageSpec, options: StorageOptions | None = None, description: str = "", *, revision: str
    ) -> ExternalAuditStorage:
        """Make the draft so, where it is of this revision; '' where there must be none.

        Raises:
            StaleRevision: it is of another.
        """
        return self._caller.run(storage_calls.upsert(spec, options, description, revision))

    def draft(self) -> ExternalAuditStorage:
        """Give the draft."""
        return self._caller.run(storage_calls.draft())

    def cluster(self) -> ExternalAuditStorage:
        """Give the storage in force."""
        return self._caller.run(storage_calls.cluster())

    def delete_draft(self, revision: str = "") -> None:
        """Delete the draft, where it is of this revision; '' for any."""
        self._caller.run(storage_calls.delete_draft(revision))

    def test(
        self, stage: str = "draft", role_arn: str = ""
    ) -> Generator[ConnectionCheck | ConnectionTestEnd, None, None]:
        """Test whether everything works, with the integration's role or another one of the account.

        Gives each check as it ends, and last how the test ended, which is then kept. Leaving the iteration ends the
        test, which then counts for nothing. It is never tried again by itself.
        """
        request, method = test_request(stage, role_arn), self._caller.stubs.storages.TestConnection
        with self._caller.errors():
            stream: Any = method(request, timeout=TEST_SECONDS)
            try:
                for answer in stream:
                    yield step_from(answer)
            finally:
                stream.cancel()

    def promote(self, revision: str, *, force: bool = False, reason: str = "") -> ExternalAuditStorage:
        """Have the draft of this revision come into force; new data goes there when this returns.

        `force` does without a connection test that passed, and needs a reason.
        """
        return self._caller.run(storage_calls.promote(revision, reason, force=force))

    def disable(self, revision: str = "", reason: str = "") -> None:
        """Go back to the default storage, where the one in force is of this revision; '' for any."""
        self._caller.run(storage_calls.disable(revision, reason))

    def divert(
        self, storage_id: str, to: str = "default", *, reason: str = "", validate_only: bool = False
    ) -> Diversion:
        """Take what waits for a storage that is gone for good to the default one; `validate_only` changes nothing and
        tells what it would be.

        Repeated events are told the new storage from then on. Done again, there is nothing left to divert.

        Raises:
            PreconditionFailed: new data goes to that storage.
        """
        return self._caller.run(storage_calls.divert(storage_id, to, reason, validate_only=validate_only))

    def promotions(self) -> Iterator[Promotion]:
        """Give the history of what changed where new data goes, newest first."""
        for page in pages(lambda token: self._caller.run(storage_calls.promotions(token)), ""):
            yield from page.items

    def iam_policy(self, stage: str = "draft", role_arn: str = "", *, without_kms: bool = False) -> RolePolicyPlan:
        """Give the policy that the integration's role needs, or another one of the same account."""
        return self._caller.run(storage_calls.iam_policy(stage, role_arn, without_kms=without_kms))

    def infrastructure(self, stage: str = "draft") -> InfrastructurePlan:
        """Give the plan of all that must be there in AWS; nothing is asked of AWS, and nothing changed there."""
        return self._caller.run(storage_calls.infrastructure(stage))
