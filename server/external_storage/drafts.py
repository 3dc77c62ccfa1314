"""The draft: generated, created, changed by revision, read and deleted. And the storage in force, as it is read."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from server.audit_log.access import Access, identity_text
from server.errors import Aborted, AlreadyExists, InvalidRequest, NotFound, Violation
from server.external_storage.events import draft_event
from server.external_storage.generated_names import generated_spec
from server.external_storage.kept import row_of, specs_in, storage_in
from server.external_storage.placement import neighbour_violations, placement_violations, storage_id
from server.external_storage.rules import Rules, description_violations
from server.external_storage.storage import ExternalStorage, Stage
from server.integrations.integration import RoleArn
from server.service_events import DRAFT_CREATED, DRAFT_DELETED, DRAFT_UPDATED
from server.state.asking import in_state
from server.state.external_storages import SqlExternalStorages, StoragesView
from server.storage.spec import StorageOptions, StorageSpec

Answer = TypeVar("Answer")

KIND = "external_audit_storage"


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """A draft that is asked for, its values as they came but for the defaults, which are put in."""

    spec: StorageSpec
    options: StorageOptions
    description: str = ""
    unreadable: tuple[Violation, ...] = ()
    """What is wrong with the request beside what the rules find."""
    path: str = "spec."
    """Before the names of the spec's fields in violations."""


class Drafts:
    """The draft and the storage in force; every change is durable, and told of, when its method returns."""

    def __init__(self, store: SqlExternalStorages, rules: Rules, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._rules = rules
        self._now_ms = now_ms

    async def generate(self, access: Access, request: DraftRequest) -> ExternalStorage:
        """Make a draft of the request's integration and region, whose other names nobody has.

        Raises:
            InvalidRequest, NotFound, AlreadyExists: a field is wrong; there is no such integration; there is a draft.
            Unavailable: it isn't made, or not known to be.
        """
        asked = request.spec
        region = asked.region or self._rules.regions.own
        spec = generated_spec(asked.integration_name, region, uuid.uuid4())
        return await self.create(access, replace(request, spec=spec, path=""))

    async def create(self, access: Access, request: DraftRequest) -> ExternalStorage:
        """Make a draft. Raises as `generate` does."""

        def refuse(present: ExternalStorage | None) -> None:
            if present is not None:
                message = "there is a draft already; change it by its revision, or delete it"
                raise AlreadyExists(message, resource_type=KIND, resource_name=Stage.DRAFT.value)

        return await self._put(access, request, refuse)

    async def upsert(self, access: Access, request: DraftRequest, revision: str) -> ExternalStorage:
        """Make the draft what the request says, where it is of this revision; '' where there must be none.

        Raises:
            InvalidRequest, NotFound: a field is wrong; there is no such integration.
            Aborted: it is of another revision.
            Unavailable: it isn't made, or not known to be.
        """
        return await self._put(access, request, lambda present: check_revision(present, revision))

    async def get(self, stage: Stage) -> ExternalStorage:
        """The draft, or the storage in force.

        Raises:
            NotFound: there is none.
            Unavailable: the state can't be read now.
        """
        found = await self.find(stage)
        if found is None:
            raise none_of(stage)
        return found

    async def find(self, stage: Stage) -> ExternalStorage | None:
        """The draft, or the storage in force; None where there is none. Raises Unavailable."""

        def find() -> ExternalStorage | None:
            with self._store.reading() as view:
                return storage_in(view, stage, self._now_ms())

        return await in_state(find)

    async def delete(self, access: Access, revision: str) -> None:
        """Delete the draft, where it is of this revision; '' for any.

        Raises:
            NotFound, Aborted: there is none; it is of another revision.
            Unavailable: it isn't deleted, or not known to be.
        """

        def delete() -> None:
            with self._store.changing() as change:
                draft = storage_in(change, Stage.DRAFT, self._now_ms())
                if draft is None:
                    raise none_of(Stage.DRAFT)
                if revision:
                    check_revision(draft, revision)
                change.remove(Stage.DRAFT.value)
                change.tell(draft_event(DRAFT_DELETED, access, draft))

        await in_state(delete)

    async def _put(
        self, access: Access, request: DraftRequest, check: Callable[[ExternalStorage | None], None]
    ) -> ExternalStorage:
        violations = self._violations(request)
        if violations:
            raise InvalidRequest(violations)

        def put() -> ExternalStorage:
            with self._store.changing() as change:
                now = self._now_ms()
                present = storage_in(change, Stage.DRAFT, now)
                check(present)
                draft = self._drafted(change, access, request, now)
                change.put(row_of(draft))
                change.tell(draft_event(DRAFT_CREATED if present is None else DRAFT_UPDATED, access, draft))
                return draft

        return await in_state(put)

    def _violations(self, request: DraftRequest) -> list[Violation]:
        found = self._rules.violations(request.spec, request.options, request.path)
        return [*found, *request.unreadable, *description_violations(request.description)]

    def _drafted(self, view: StoragesView, access: Access, request: DraftRequest, now: int) -> ExternalStorage:
        role = role_of(view, request.spec.integration_name)
        violations = placement_violations(request.spec, request.options, role, request.path)
        violations += neighbour_violations(request.spec, specs_in(view), request.path)
        if violations:
            raise InvalidRequest(violations)
        return ExternalStorage(
            Stage.DRAFT,
            request.spec,
            request.options,
            str(uuid.uuid4()),
            storage_id(request.spec, role),
            role.account_id,
            identity_text(access),
            now,
            description=request.description,
        )


def none_of(stage: Stage) -> NotFound:
    """The error where there is no draft, or no external storage in force."""
    what = "there is no draft" if stage is Stage.DRAFT else "no external audit storage is in force"
    return NotFound(what, reason="NO_EXTERNAL_STORAGE", resource_type=KIND, resource_name=stage.value)


def check_revision(present: ExternalStorage | None, revision: str) -> None:
    """Refuse what was asked for by a revision that isn't the present one; '' says that there is none.

    Raises:
        Aborted: it is another.
    """
    if (present.revision if present is not None else "") != revision:
        raise Aborted("it has changed since that revision; read it again and decide anew")


def role_of(view: StoragesView, integration: str) -> RoleArn:
    """The role of an integration.

    Raises:
        NotFound: there is no such integration.
    """
    found = view.integration(integration)
    role = RoleArn.parse(found.role_arn) if found is not None else None
    if role is None:
        message = "there is no such integration"
        raise NotFound(message, resource_type="integration", resource_name=integration)
    return role
