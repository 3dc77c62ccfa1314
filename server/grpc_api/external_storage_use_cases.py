"""What ExternalAuditStorageService needs of the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from server.audit_log.access import Access
from server.external_storage.backlogs import DiversionRequest, Diverted
from server.external_storage.connection_tests import TestEnd
from server.external_storage.drafts import DraftRequest
from server.external_storage.infrastructure import RolePolicyPlan
from server.external_storage.plans import PlannedStorage
from server.external_storage.promotions import PromotionRequest
from server.external_storage.storage import ExternalStorage, Promotion, Stage
from server.integrations.integration import RoleArn
from server.storage.connection import Check


class Drafts(Protocol):
    """Keeps the draft, and tells of it and of the storage in force.

    Beside what each method says, all raise Unavailable: the state can't be read or written now.
    """

    async def generate(self, access: Access, request: DraftRequest) -> ExternalStorage:
        """Make a draft whose names nobody has.

        Raises:
            InvalidRequest, NotFound, AlreadyExists: a field is wrong; there is no such integration; there is a draft.
        """
        ...

    async def create(self, access: Access, request: DraftRequest) -> ExternalStorage:
        """Make a draft. Raises as `generate` does."""
        ...

    async def upsert(self, access: Access, request: DraftRequest, revision: str) -> ExternalStorage:
        """Make the draft what the request says.

        Raises:
            InvalidRequest, NotFound, Aborted: a field is wrong; there is no such integration; another revision.
        """
        ...

    async def get(self, stage: Stage) -> ExternalStorage:
        """The draft, or the storage in force.

        Raises:
            NotFound: there is none.
        """
        ...

    async def find(self, stage: Stage) -> ExternalStorage | None:
        """The draft, or the storage in force; None where there is none."""
        ...

    async def delete(self, access: Access, revision: str) -> None:
        """Delete the draft.

        Raises:
            NotFound, Aborted: there is none; it is of another revision.
        """
        ...


class Plans(Protocol):
    """Plans what must be there in AWS. Its methods raise Unavailable: the state can't be read now."""

    async def role_policy(
        self, stage: Stage, role: RoleArn | None = None, *, without_kms: bool = False
    ) -> RolePolicyPlan:
        """The policy for the integration's role, or for another one of the same account.

        Raises:
            NotFound, InvalidRequest: there is no storage of that stage; the role is of another account.
            FailedPrecondition: the integration's role is.
        """
        ...

    async def infrastructure(self, stage: Stage) -> PlannedStorage:
        """All that must be there. Raises as `role_policy` does."""
        ...


class Promotions(Protocol):
    """Changes where new data goes, and keeps the history of it. All methods raise Unavailable as those of drafts do."""

    async def promote(self, access: Access, request: PromotionRequest) -> ExternalStorage:
        """Have the draft come into force; new data goes there when this returns.

        Raises:
            NotFound, Aborted: there is no draft, or no such integration; another revision.
            FailedPrecondition: no test passed; the draft keeps the rules no more; the service can't deliver there.
        """
        ...

    async def disable(self, access: Access, revision: str, reason: str) -> None:
        """Have the default storage be in force again.

        Raises:
            NotFound, Aborted: no external audit storage is in force; another revision.
        """
        ...

    async def history(self, before: int | None, limit: int) -> list[Promotion]:
        """Rows of the history, newest first, those below the number `before` alone."""
        ...


class Backlogs(Protocol):
    """Diverts what waits for storages that are gone."""

    async def divert(self, access: Access, request: DiversionRequest) -> Diverted:
        """Divert what waits for a storage, or tell what that is.

        Raises:
            InvalidRequest, NotFound: nothing can be diverted from there, or to there; there is no such storage.
            FailedPrecondition: the storage is active. Unavailable: it can't be written down now.
        """
        ...


class ConnectionTests(Protocol):
    """Tests whether everything works."""

    def run(
        self, access: Callable[[], Access], stage: Stage, role: RoleArn | None
    ) -> AsyncGenerator[Check | TestEnd, None]:
        """Checks as they end, and last how the test ended. `access` gives the caller as of now.

        Raises:
            NotFound: there is no such storage. InvalidRequest: the role is of another account.
            FailedPrecondition: the integration's own is. ResourceExhausted: too many tests are under way.
            Unavailable: the state can't be read or written now.
        """
        ...
