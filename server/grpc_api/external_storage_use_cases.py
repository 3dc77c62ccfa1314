"""What ExternalAuditStorageService needs of the rest of the service."""

from __future__ import annotations

from typing import Protocol

from server.audit_log.access import Access
from server.external_storage.drafts import DraftRequest
from server.external_storage.storage import ExternalStorage, Stage


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
