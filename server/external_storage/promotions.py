"""The draft comes into force, or the default storage again: in one transaction, after which new data goes there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from server.audit_log.access import Access, identity_text
from server.errors import AuditStoreError, FailedPrecondition, Unavailable
from server.external_storage.drafts import check_revision, none_of, role_of
from server.external_storage.events import disabled_event, enabled_event
from server.external_storage.in_turn import InTurn
from server.external_storage.kept import promotion_of, promotion_row, row_of, specs_in, storage_in
from server.external_storage.placement import DEFAULT_STORAGE, check_account, neighbour_violations
from server.external_storage.rules import Rules
from server.external_storage.storage import (
    TEST_COUNTS_MS,
    ExternalStorage,
    KeptTest,
    Promotion,
    PromotionKind,
    Stage,
)
from server.external_storage.switching import Switch
from server.state.asking import in_state
from server.state.external_storages import SqlExternalStorages, StoragesChange

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PromotionRequest:
    """A promotion that is asked for. `force` has a reason, and is asked for by somebody who may."""

    revision: str
    force: bool = False
    reason: str = ""


class Promotions:
    """Changes where new data goes. Lives on the event loop.

    Changes are made in turn: the journals' markers come in the order of the state's rows. What a crash leaves undone,
    the next start does.
    """

    def __init__(
        self,
        store: SqlExternalStorages,
        rules: Rules,
        switch: Switch,
        now_ms: Callable[[], int],
        in_turn: InTurn | None = None,
    ) -> None:
        self._store = store
        self._rules = rules
        self._switch = switch
        self._now_ms = now_ms
        self._in_turn = in_turn or InTurn()

    async def promote(self, access: Access, request: PromotionRequest) -> ExternalStorage:
        """Have the draft come into force. When this returns, new data goes there.

        Raises:
            NotFound, Aborted: there is no draft, or no such integration; it is of another revision.
            FailedPrecondition: no test passed; the draft keeps the rules no more; its account is another; the service
                can't deliver there.
            Unavailable: it isn't promoted, or not known to be; the message says where it is and new data doesn't go
                there yet.
        """
        if problem := self._switch.problem():
            raise FailedPrecondition(f"new data can't go to another storage: {problem}", reason="SWITCH_UNAVAILABLE")

        def promote() -> ExternalStorage:
            with self._store.changing() as change:
                return self._promote(change, access, request)

        return await self._in_turn.do(self._change(promote, lambda cluster: cluster.storage_id))

    async def disable(self, access: Access, revision: str, reason: str) -> None:
        """Have the default storage be in force again; '' as revision for whatever is in force. Touches nothing in AWS.

        Raises:
            NotFound, Aborted: no external audit storage is in force; it is of another revision.
            Unavailable: as `promote`.
        """

        def disable() -> None:
            with self._store.changing() as change:
                self._disable(change, access, revision, reason)

        await self._in_turn.do(self._change(disable, lambda _: DEFAULT_STORAGE))

    async def history(self, before: int | None, limit: int) -> list[Promotion]:
        """Rows of the history, newest first, those below the number `before` alone.

        Raises:
            Unavailable: the state can't be read now.
        """

        def read() -> list[Promotion]:
            with self._store.reading() as view:
                return [promotion_of(*row) for row in view.promotions(before, limit)]

        return await in_state(read)

    async def _change(self, change: Callable[[], Answer], storage_id: Callable[[Answer], str]) -> Answer:
        answer = await in_state(change)
        try:
            await self._switch.to(storage_id(answer))
        except AuditStoreError as error:
            message = f"it is done, but new data doesn't go there yet: {error.message}; a restart has it go there"
            raise Unavailable(message, reason=error.reason) from error
        return answer

    def _promote(self, change: StoragesChange, access: Access, request: PromotionRequest) -> ExternalStorage:
        now = self._now_ms()
        draft = storage_in(change, Stage.DRAFT, now)
        if draft is None:
            raise none_of(Stage.DRAFT)
        check_revision(draft, request.revision)
        role = role_of(change, draft.spec.integration_name)
        check_account(role, draft)
        violations = self._rules.violations(draft.spec, draft.options)
        if violations := violations or neighbour_violations(draft.spec, specs_in(change), "spec."):
            text = "; ".join(f"{each.field}: {each.description}" for each in violations)
            raise FailedPrecondition(f"the draft doesn't keep the rules any more: {text}", reason="DRAFT_INVALID")
        test = _passed(draft.last_test, now)
        if test is None and not request.force:
            raise _not_passed(draft.last_test)
        before = change.storage(Stage.CLUSTER.value)
        cluster = replace(draft, stage=Stage.CLUSTER, promoter=identity_text(access), promoted_ms=now)
        change.remove(Stage.DRAFT.value)
        change.put(row_of(cluster))
        promotion = Promotion(
            0,
            PromotionKind.PROMOTE,
            now,
            cluster.promoter,
            cluster.storage_id,
            cluster.spec,
            cluster.options,
            str(role),
            cluster.drafter,
            cluster.drafted_ms,
            test,
            test is None,
            request.reason,
            cluster.description,
        )
        change.add_promotion(promotion_row(promotion, cluster.account_id))
        replaced = before.storage_id if before is not None else DEFAULT_STORAGE
        _tell_both(change, enabled_event(access, cluster, promotion, replaced), replaced, cluster.storage_id)
        return cluster

    def _disable(self, change: StoragesChange, access: Access, revision: str, reason: str) -> None:
        now = self._now_ms()
        cluster = storage_in(change, Stage.CLUSTER, now)
        if cluster is None:
            raise none_of(Stage.CLUSTER)
        if revision:
            check_revision(cluster, revision)
        role = change.integration(cluster.spec.integration_name)
        change.remove(Stage.CLUSTER.value)
        promotion = Promotion(
            0,
            PromotionKind.DISABLE,
            now,
            identity_text(access),
            DEFAULT_STORAGE,
            cluster.spec,
            cluster.options,
            role.role_arn if role is not None else "",
            reason=reason,
            description=cluster.description,
        )
        change.add_promotion(promotion_row(promotion, cluster.account_id))
        _tell_both(change, disabled_event(access, cluster, promotion), cluster.storage_id, DEFAULT_STORAGE)


def _tell_both(change: StoragesChange, event: Mapping[str, object], before: str, after: str) -> None:
    """Each storage has the event, with a uid of its own: who has but one of them sees where its events end or begin."""
    for storage_id in dict.fromkeys((before, after)):
        change.tell(event, storage_id)


def _passed(test: KeptTest | None, now: int) -> KeptTest | None:
    """The test, where it passed within the last hour; the state gives none of the future."""
    return test if test is not None and test.passed and now - test.tested_ms <= TEST_COUNTS_MS else None


def _not_passed(test: KeptTest | None) -> FailedPrecondition:
    why = (
        "none was run"
        if test is None
        else "the last one is more than an hour old"
        if test.passed
        else "the last failed"
    )
    message = f"no connection test passed for this draft and its integration as they are: {why}"
    return FailedPrecondition(message, reason="TEST_NOT_PASSED", test=test.id if test is not None else "")
