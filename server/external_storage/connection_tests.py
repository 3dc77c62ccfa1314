"""Connection tests as administrators run them: each check told as it ends, the whole kept and audited."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Protocol

from rbac.identities import Identity
from server.audit_log.access import Access, caller_members, identity_text
from server.errors import AuditStoreError, ResourceExhausted
from server.external_storage.drafts import none_of, role_of
from server.external_storage.issuer_documents import ISSUER, check_issuer
from server.external_storage.kept import storage_in
from server.external_storage.planning import infrastructure_plan, wanted_table
from server.external_storage.plans import tried_role
from server.external_storage.storage import ExternalStorage, KeptTest, Stage
from server.integrations.integration import RoleArn
from server.service_events import CONNECTION_TESTED
from server.state.asking import in_state
from server.state.external_storages import ConnectionTestRow, SqlExternalStorages
from server.storage.connection import Check, ConnectionProbe, Outcome, Wanted

TIME_LIMIT: Final = "test.time-limit"
MOST: Final = 4
"""Tests under way at once; each has a thread."""
LIMIT_SECONDS: Final = 120.0
_RETRY_SECONDS: Final = 10.0
_MOST_FAILED_TOLD: Final = 100


class Tokens(Protocol):
    """Makes tokens; see server.integrations.web_identity.WebIdentityTokens."""

    @property
    def issuer(self) -> str:
        """As tokens have it in `iss`; '' where none is configured."""
        ...

    @property
    def audience(self) -> str:
        """As tokens have it in `aud`."""
        ...

    def subject(self, integration_name: str) -> str:
        """As tokens have it in `sub`."""
        ...

    def token(self, integration_name: str) -> str:
        """A new token; a secret. Raises AuditStoreError where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class TestEnd:
    """How a test ended."""

    test: KeptTest
    counts: Counter[Outcome]


@dataclass(slots=True)
class _Run:
    """A test under way."""

    access: Access
    access_now: Callable[[], Access]
    storage: ExternalStorage
    integration_revision: str
    wanted: Wanted
    began: float
    steps: asyncio.Queue[Check | TestEnd | BaseException]
    checks: list[Check]
    given_up: bool = False

    def stopped(self) -> bool:
        return self.given_up or self.late()

    def late(self) -> bool:
        return time.monotonic() - self.began > LIMIT_SECONDS


class ConnectionTests:
    """The use case. Lives on the event loop; `threads` has a thread for each of MOST tests."""

    def __init__(
        self,
        store: SqlExternalStorages,
        tokens: Tokens,
        probe: ConnectionProbe,
        threads: Executor,
        cluster_name: str,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._tokens = tokens
        self._probe = probe
        self._threads = threads
        self._cluster_name = cluster_name
        self._now_ms = now_ms
        self._under_way: Counter[tuple[str, str, str]] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runs: list[_Run] = []

    async def run(
        self, access: Callable[[], Access], stage: Stage, role: RoleArn | None
    ) -> AsyncGenerator[Check | TestEnd, None]:
        """Test the draft, or the storage in force, with the integration's role or another. Checks come as they
        end, and last how the test ended, which is then kept.

        `access` gives the caller as of now; it is asked before each step. Whoever breaks off ends the test: what it
        began in the account is taken back, and it counts for nothing.

        Raises:
            NotFound: there is no such storage. InvalidRequest: the role is of another account.
            FailedPrecondition: the integration's own is (ACCOUNT_CHANGED).
            ResourceExhausted: too many tests are under way, or one of the caller's.
            Unavailable: the state can't be read or written now; the test is then not kept.
        """
        caller = access().identity
        self._take_place(caller)
        started = False
        try:
            run = await self._prepare(access, stage, role)
            task = asyncio.create_task(self._carry_out(run))
            started = True
        finally:
            if not started:
                self._leave_place(caller)
        self._tasks.add(task)
        self._runs.append(run)
        task.add_done_callback(lambda _: self._over(task, run, caller))
        try:
            while True:
                step = await run.steps.get()
                if isinstance(step, BaseException):
                    raise step
                access()
                yield step
                if isinstance(step, TestEnd):
                    return
        finally:
            run.given_up = True

    async def close(self) -> None:
        """End the tests under way, and wait until they have taken back what they began."""
        for run in self._runs:
            run.given_up = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_RETRY_SECONDS)

    def _take_place(self, caller: Identity) -> None:
        if self._under_way[caller.key]:
            text = "a connection test of yours is under way"
            raise ResourceExhausted(text, reason="OVERLOADED", retry_after=_RETRY_SECONDS)
        if self._under_way.total() >= MOST:
            text = "as many connection tests are under way as may be"
            raise ResourceExhausted(text, reason="OVERLOADED", retry_after=_RETRY_SECONDS)
        self._under_way[caller.key] += 1

    def _leave_place(self, caller: Identity) -> None:
        self._under_way[caller.key] -= 1
        self._under_way += Counter()  # keeps those that count

    def _over(self, task: asyncio.Task[None], run: _Run, caller: Identity) -> None:
        self._tasks.discard(task)
        self._runs.remove(run)
        self._leave_place(caller)

    async def _prepare(self, access: Callable[[], Access], stage: Stage, role: RoleArn | None) -> _Run:
        storage, own, revision = await in_state(lambda: self._read(stage))
        wanted = self._wanted(storage, tried_role(role, own, storage))
        return _Run(access(), access, storage, revision, wanted, time.monotonic(), asyncio.Queue(), [])

    def _read(self, stage: Stage) -> tuple[ExternalStorage, RoleArn, str]:
        with self._store.reading() as view:
            storage = storage_in(view, stage, self._now_ms())
            if storage is None:
                raise none_of(stage)
            role = role_of(view, storage.spec.integration_name)
            integration = view.integration(storage.spec.integration_name)
            return storage, role, integration.revision if integration is not None else ""

    def _wanted(self, storage: ExternalStorage, role: RoleArn) -> Wanted:
        plan = infrastructure_plan(storage.spec, storage.options, role, self._cluster_name).glue
        return Wanted(
            storage.spec,
            storage.options,
            wanted_table(plan),
            str(role),
            storage.account_id,
            self._tokens.issuer,
            self._tokens.audience,
            self._tokens.subject(storage.spec.integration_name),
            str(uuid.uuid4()),
        )

    async def _carry_out(self, run: _Run) -> None:
        """Make the checks and keep what came of it, whether or not somebody still listens."""
        loop = asyncio.get_running_loop()
        integration = run.storage.spec.integration_name

        def probe() -> None:
            def report(check: Check) -> None:
                loop.call_soon_threadsafe(self._report, run, check)

            self._probe.run(run.wanted, lambda: self._tokens.token(integration), report, run.stopped)

        try:
            self._report(run, await self._issuer(run))
            await loop.run_in_executor(self._threads, probe)
            if run.late() and not run.given_up:
                self._report(run, _too_late())
            if not run.given_up:
                run.access_now()  # a right that was lost meanwhile keeps no test
            run.steps.put_nowait(await self._keep(run))
        except Exception as error:  # whoever listens is told, by the edge's rules for errors of any kind
            with contextlib.suppress(AuditStoreError):
                await self._tell(run, "error")
            run.steps.put_nowait(error)

    def _report(self, run: _Run, check: Check) -> None:
        run.checks.append(check)
        run.steps.put_nowait(check)

    async def _issuer(self, run: _Run) -> Check:
        issuer = run.wanted.issuer
        if not issuer:
            return Check(
                ISSUER, "issuer", Outcome.FAILED, "No issuer is configured.", wrong_setting="issuer_url",
                remedy="Set `issuer_url` and the public listener.",
            )  # fmt: skip
        name = run.storage.spec.integration_name
        try:
            token = await asyncio.get_running_loop().run_in_executor(None, self._tokens.token, name)
        except AuditStoreError:
            return Check(ISSUER, issuer, Outcome.NOT_CHECKED, "There is no token whose key to look for.")
        return await check_issuer(issuer, token)

    async def _keep(self, run: _Run) -> TestEnd:
        counts = Counter(check.outcome for check in run.checks)
        test = KeptTest(
            run.wanted.test_id,
            run.storage.stage,
            run.storage.revision,
            run.storage.spec.integration_name,
            run.integration_revision,
            run.wanted.role_arn,
            not counts[Outcome.FAILED] and not run.given_up,
            self._now_ms(),
            identity_text(run.access),
        )
        if run.given_up:
            await self._tell(run, "cancelled")
        else:
            await self._tell(run, "passed" if test.passed else "failed", test)
        return TestEnd(test, counts)

    async def _tell(self, run: _Run, outcome: str, test: KeptTest | None = None) -> None:
        event = _event(run, outcome)

        def tell() -> None:
            with self._store.changing() as change:
                if test is not None:
                    change.add_test(_row(test))
                change.tell(event)

        await in_state(tell)


def _too_late() -> Check:
    return Check(
        TIME_LIMIT,
        "test",
        Outcome.FAILED,
        f"The test was not done within {LIMIT_SECONDS:.0f} seconds; what is not told was not checked.",
        wrong_setting="network",
        remedy="See which checks took long, and that this machine reaches AWS.",
    )


def _row(test: KeptTest) -> ConnectionTestRow:
    return ConnectionTestRow(
        test.id,
        test.stage.value,
        test.storage_revision,
        test.integration_name,
        test.integration_revision,
        test.role_arn,
        test.passed,
        test.tested_ms,
        test.tester,
    )


def _event(run: _Run, outcome: str) -> dict[str, object]:
    failed = [f"{check.name} {check.subject}" for check in run.checks if check.outcome is Outcome.FAILED]
    return {
        "event": CONNECTION_TESTED,
        **caller_members(run.access),
        "test_id": run.wanted.test_id,
        "stage": run.storage.stage.value,
        "storage_id": run.storage.storage_id,
        "revision": run.storage.revision,
        "integration": run.storage.spec.integration_name,
        "role_arn": run.wanted.role_arn,
        "outcome": outcome,
        "checks": len(run.checks),
        "failed_checks": failed[:_MOST_FAILED_TOLD],
    }
