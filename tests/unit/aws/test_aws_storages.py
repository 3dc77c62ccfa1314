"""The storages as the state has them: reached by their integration's role as it is now, and by no other."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine, delete, insert, update

from server.aws_storages import AwsStorages
from server.config.aws_sections import AwsSection
from server.external_storage.kept import options_text, spec_text
from server.external_storage_assembly import aws_settings
from server.state.database import open_database
from server.state.external_storage_tables import integrations, promotions
from server.storage.aws.athena.budget import ReadBudget
from server.storage.aws.athena.executor import AthenaExecutor
from server.storage.aws.clients import AwsClients
from server.storage.aws.credentials import RoleSession
from server.storage.aws.errors import AwsError
from server.storage.aws.object_cache import ObjectCache
from server.storage.aws.session import AwsSettings
from server.storage.finding import FinderFailed, FindRequest
from server.storage.ports import StorageError
from server.storage.query import Filters, Order
from server.storage.spec import StorageOptions, StorageSpec
from tests.polling import until

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/audit"
SPEC = StorageSpec("ours", "us-west-2", "s3://longterm/sessions", "s3://longterm/events", "s3://transient/results",
                   "w", "d", "t", "p")  # fmt: skip


@dataclass
class Tokens:
    """Counts what is asked of it."""

    asked: list[str] = field(default_factory=list)

    def token(self, integration: str) -> str:
        self.asked.append(integration)
        return "token"


@dataclass
class Rig:
    """A former storage of a state, and AWS at an address where nobody answers."""

    engine: Engine
    tokens: Tokens
    storages: AwsStorages
    now: float = 0.0

    def reach(self) -> str:
        """Ask the storage for something; gives the error's text."""
        self.now += 10
        with pytest.raises(StorageError) as refused:
            self.storages.open("aws-1").dates()
        return "no answer" if isinstance(refused.value, AwsError) else str(refused.value)

    def give_role(self, role: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(update(integrations).values(role_arn=role))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    engine = open_database(tmp_path / "state.db")
    about: dict[str, Any] = {"name": "ours", "role_arn": ROLE, "revision": "r", "creator": "{}"}
    row: dict[str, Any] = {
        "kind": "promote", "promoted_ms": 1, "promoter": "{}", "storage_id": "aws-1", "spec": spec_text(SPEC),
        "options": options_text(StorageOptions()), "description": "", "account_id": ACCOUNT, "integration": "ours",
        "role_arn": ROLE, "drafter": "{}", "forced": False, "reason": "",
    }  # fmt: skip
    with engine.begin() as connection:
        connection.execute(insert(integrations).values(about | {"created_ms": 1, "updated_ms": 1}))
        connection.execute(insert(promotions).values(row))
    settings = AwsSettings(endpoint="http://127.0.0.1:1", attempts=1)
    tokens = Tokens()
    cache = ObjectCache(tmp_path / "cache", 2**26, 1)
    executor = AthenaExecutor(1, ReadBudget(0, 1.0, lambda: rig.now))
    storages = AwsStorages(
        engine, cast(Any, tokens), settings, cache, executor, "test", cast(Any, None), lambda: rig.now
    )
    rig = Rig(engine, tokens, storages)
    yield rig
    rig.storages.close()
    engine.dispose()


def renewing() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "aws-credentials"}


def test_a_role_that_the_integration_has_no_more_is_assumed_no_more(rig: Rig) -> None:
    before = renewing()
    assert rig.reach() == "no answer"
    assert len(renewing() - before) == 1
    [problem] = rig.storages.problems()
    assert problem == ("integration ours: sts:AssumeRoleWithWebIdentity: the role could not be assumed: no answer came")
    rig.give_role(ROLE + "2")
    assert rig.reach() == "no answer"
    until(lambda: len(renewing() - before) == 1)


def test_a_deleted_integration_gets_no_token_and_the_search_is_told_what_to_do(rig: Rig) -> None:
    before = renewing()
    assert rig.reach() == "no answer"
    with rig.engine.begin() as connection:
        connection.execute(delete(integrations))
    told = rig.reach()
    assert "integration ours was deleted; create one of that name" in told
    until(lambda: not renewing() - before)
    assert rig.storages.problems() == []
    asked = len(rig.tokens.asked)
    rig.reach()
    assert (len(rig.tokens.asked), set(rig.tokens.asked)) == (asked, {"ours"})
    assert rig.storages.open("aws-1").location() == "s3://longterm/events"


def test_a_role_of_another_account_is_not_tried(rig: Rig) -> None:
    rig.give_role("arn:aws:iam::999999999999:role/audit")
    assert "the role of integration ours is of another account now" in rig.reach()
    assert rig.tokens.asked == []


def test_athena_is_asked_of_these_storages_alone_and_by_the_role_of_now(rig: Rig) -> None:
    assert rig.storages.finder("default") is None
    rig.storages.open("aws-1")
    finder = rig.storages.finder("aws-1")
    assert finder is not None
    assert rig.storages.finder("aws-1") is finder, "what is known of its table is kept"
    asked = FindRequest(Filters(), "2026-01-01", "2026-01-01", Order.NEWEST_FIRST, "alice")
    with pytest.raises(FinderFailed, match=r"glue:GetTable|sts:AssumeRoleWithWebIdentity"):
        finder.find(asked, time.monotonic() + 60)
    with rig.engine.begin() as connection:
        connection.execute(delete(integrations))
    rig.now += 10
    with pytest.raises(StorageError, match="integration ours was deleted"):
        finder.find(asked, time.monotonic() + 60)


def test_what_was_given_up_is_not_sent_again() -> None:
    """A stop waits for what is under way: one answer that doesn't come, and not one more for every attempt."""
    with ThreadPoolExecutor(1) as threads, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = AwsSettings(endpoint=url, attempts=5, read_timeout=60.0, s3_path_style="always")
        clients = AwsClients("us-west-2", ROLE, lambda: "token", settings)
        clients.credentials._session = RoleSession("k", "s", "t", time.time() + 3600, "arn", 3600)
        asked = threads.submit(clients.s3.list_objects_v2, Bucket="longterm")
        silent.settimeout(60)
        under_way, _ = silent.accept()
        clients.give_up()
        under_way.close()
        with pytest.raises(AwsError, match="stopping"):
            asked.result(60)
        silent.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            silent.accept()
        clients.close()


@pytest.mark.parametrize(
    ("section", "is_known"),
    [
        (AwsSection(), True),
        (AwsSection(endpoint="https://store.test"), False),
        (AwsSection(s3_endpoint="https://store.test"), False),
        (AwsSection(s3_conditional_writes="no"), False),
    ],
)
def test_of_s3_itself_alone_it_is_known_that_it_refuses_an_object_where_there_is_one(
    section: AwsSection, is_known: bool
) -> None:
    assert aws_settings(section).store.refuses == is_known
