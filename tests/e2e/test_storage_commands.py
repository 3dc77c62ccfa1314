"""External Audit Storage through the command line and the Python client: from draft to promotion and back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from extaudit_cli.main import run
from extaudit_client import AsyncClient, Client, StorageOptions, StorageSpec
from extaudit_client.errors import AlreadyExists, InvalidRequest, NotFound, PreconditionFailed, StaleRevision
from extaudit_client.files import find_connection

from server import external_storage_assembly
from server.external_storage.promotions import Promotions
from server.external_storage.regions import partition_of
from server.integrations.integration import RoleArn
from server.lifecycle import App
from server.state.database import database_path, open_database
from tests.e2e.terminal import TMUX, terminal
from tests.running_app import running_app
from tests.storages_under_test import ACCOUNT, MemorySwitch, Storages
from tests.unit.external_storage.specs import random_options, random_spec

ROLE = "arn:aws:iam::123456789012:role/audit"
Called = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def switch() -> MemorySwitch:
    return MemorySwitch()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, switch: MemorySwitch) -> Iterator[App]:
    """A service that can switch, as far as it knows, with an integration."""
    data_dir = tmp_path_factory.mktemp("storage") / "data"

    def promotions(store: Any, rules: Any, _switch: Any, *others: Any) -> Promotions:
        return Promotions(store, rules, switch, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external_storage_assembly, "Promotions", promotions)
        with running_app(data_dir) as running:
            with Client(find_connection({}, data_dir)) as client:
                client.integrations.create("production", ROLE)
            yield running


@pytest.fixture
def data_dir(app: App) -> Path:
    return app.config.data_dir


@pytest.fixture
def client(data_dir: Path, switch: MemorySwitch) -> Iterator[Client]:
    """With neither a draft nor a storage in force."""
    switch.went.clear()
    with Client(find_connection({}, data_dir)) as made:
        for remove in made.storages.disable, made.storages.delete_draft:
            with contextlib.suppress(NotFound):
                remove()
        switch.went.clear()
        yield made


@pytest.fixture
def call(data_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Called:
    """Run a command of the group; gives its exit code and what it prints."""
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")

    def called(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["storage", *arguments, "--data-dir", str(data_dir)])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return called


def passed(client: Client, data_dir: Path) -> None:
    """Have a connection test of the draft have passed."""
    engine = open_database(database_path(data_dir))
    integration = client.integrations.get("production")
    made = Storages(engine, now_ms=int(client.status().answer_time.timestamp() * 1000))  # type: ignore[union-attr]
    made.add_test(client.storages.draft().revision, age_ms=0, integration_revision=integration.revision)
    engine.dispose()


def generated(call: Called) -> dict[str, Any]:
    code, out, err = call("generate", "--integration", "production", "--region", "us-west-2")
    assert (code, err) == (0, "")
    document: dict[str, Any] = yaml.safe_load(out)
    return document


def test_a_draft_is_generated_tested_promoted_and_disabled(
    client: Client, call: Called, data_dir: Path, switch: MemorySwitch
) -> None:
    draft = generated(call)
    assert draft["spec"]["glue_table"] == "teleport_events"
    code, out, err = call("promote")
    assert (code, out, switch.went) == (1, "", [])
    assert "(TEST_NOT_PASSED); `extaudit storage test` runs one" in err
    passed(client, data_dir)
    code, out, err = call("promote", "--output", "json")
    storage_id = draft["status"]["storage_id"]
    assert (code, switch.went) == (0, [storage_id])
    assert draft["spec"]["audit_events_long_term_uri"] in err
    assert err.endswith("in place of      default\n"), "shown before, and read after it too"
    assert json.loads(out)["last_test"]["tester"]["name"] == "bob"
    assert call("show")[2].endswith("there is no draft (NO_EXTERNAL_STORAGE)\n")
    shown = yaml.safe_load(call("show", "--stage", "cluster")[1])
    assert (shown["spec"], shown["metadata"]["name"]) == (draft["spec"], "cluster")
    code, out, err = call("disable", "--reason", "the account closes")
    assert (code, err, switch.went[-1]) == (0, "", "default")
    assert storage_id in out
    rows = json.loads(call("history", "--output", "json")[1])
    assert [(row["kind"], row["reason"], row["forced"]) for row in rows[:2]] == [
        ("disable", "the account closes", False),
        ("promote", "", False),
    ]
    assert "by bob" in call("history", "--limit", "2")[1]


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_is_shown_is_applied_and_shown_again(client: Client, call: Called, tmp_path: Path, output: str) -> None:
    generated(call)
    _, shown, _ = call("show", "--output", output)
    file = tmp_path / "draft"
    file.write_text(shown)
    revision = client.storages.draft().revision
    code, out, err = call("apply", "-f", str(file), "--output", output)
    assert (code, out, err) == (0, shown, "the draft is so already\n")
    assert client.storages.draft().revision == revision
    call("delete-draft")
    _, _, err = call("apply", "-f", str(file))
    assert "(STALE_REVISION)" in err
    fresh = yaml.safe_load(shown) | {"metadata": {"description": "again"}}
    file.write_text(json.dumps(fresh))
    code, out, err = call("apply", "-f", str(file), "--output", output)
    assert (code, err) == (0, "there is a draft now\n")
    again = yaml.safe_load(out)
    assert [again[part] for part in ("spec", "options")] == [fresh[part] for part in ("spec", "options")]
    assert again["metadata"]["description"] == "again"


def test_a_draft_that_was_made_for_another_account_is_made_anew_by_the_same_file(
    client: Client, call: Called, tmp_path: Path
) -> None:
    """It is the remedy that ACCOUNT_CHANGED names; nobody should have to delete the draft for it."""
    generated(call)
    file = tmp_path / "draft.yaml"
    file.write_text(call("show")[1])
    before, moved = client.integrations.get("production"), "arn:aws:iam::210987654321:role/audit"
    changed = client.integrations.update("production", moved, before.revision)
    assert "(ACCOUNT_CHANGED); `extaudit storage apply` of the same file" in call("iam-policy")[2]
    code, _, err = call("apply", "-f", str(file))
    assert (code, err) == (0, "the draft is changed\n")
    assert client.storages.draft().account_id == "210987654321"
    assert call("iam-policy")[0] == 0
    client.integrations.update("production", ROLE, changed.revision)


def test_random_legal_storages_survive_being_shown_and_applied(client: Client, call: Called, tmp_path: Path) -> None:
    chance, file = random.Random(11), tmp_path / "draft"
    role = RoleArn.parse(ROLE)
    assert role is not None
    for number in range(12):
        spec = next(each for each in iter(lambda: random_spec(chance), None) if partition_of(each.region) == "aws")
        options = asdict(random_options(chance, role, spec.region))
        asked = StorageOptions(**options | {"object_lock_mode": options["object_lock_mode"].value.lower()})
        fields = asdict(spec) | {"integration_name": "production"}
        made = client.storages.create(StorageSpec(**fields), asked, f"number {number}: # {{x}} ü\u202e")
        form = ("--output", "json") if number % 2 else ()
        file.write_text(call("show", "--as-draft", *form)[1])
        client.storages.delete_draft()
        assert call("apply", "-f", str(file))[0] == 0
        found = client.storages.draft()
        assert (found.spec, found.options, found.description) == (made.spec, made.options, made.description)
        assert found.storage_id == made.storage_id
        client.storages.delete_draft()


def test_a_file_that_somebody_else_was_faster_than_is_refused(client: Client, call: Called, tmp_path: Path) -> None:
    generated(call)
    file = tmp_path / "draft.yaml"
    file.write_text(call("show")[1].replace("us-west-2", "eu-west-1"))
    call("delete-draft")
    generated(call)
    code, _, err = call("apply", "-f", str(file))
    assert (code, "(STALE_REVISION)" in err) == (1, True)
    assert client.storages.draft().spec.region == "us-west-2"


def test_everything_wrong_with_a_file_is_told_and_nothing_is_changed(
    client: Client, call: Called, tmp_path: Path
) -> None:
    file = tmp_path / "draft.yaml"
    file.write_text("region: 7\nglue_tables: x\n")
    code, _, err = call("apply", "-f", str(file))
    assert (code, len(err.splitlines())) == (1, 11)
    assert err.endswith("the file has 10 problems; nothing was done\n")
    assert f"{file}:1:9: region must be a text; put it in quotes" in err
    file.write_text("\n".join(f"x{number}: 1" for number in range(1000)))
    code, _, err = call("apply", "-f", str(file))
    assert (code, len(err.splitlines())) == (1, 52)
    assert err.endswith(f"{file}: and 959 more\nError: the file has 1,009 problems; nothing was done\n")
    fields = dict.fromkeys(StorageSpec.__slots__, "ä")
    file.write_text(json.dumps(fields))
    code, _, err = call("apply", "-f", str(file))
    assert code == 1
    assert all(f"spec.{name}: " in err for name in fields)
    with pytest.raises(NotFound):
        client.storages.draft()


def test_forcing_needs_a_reason_and_is_told(client: Client, call: Called, switch: MemorySwitch) -> None:
    generated(call)
    assert call("promote", "--force")[0] == 2
    code, out, err = call("promote", "--force", "--reason", "the old account closes")
    assert (code, out) == (0, f"new events and recordings go to {switch.went[0]}\n")
    assert "FORCED" in err
    assert next(client.storages.promotions()).forced
    assert "FORCED" in call("history", "--limit", "1")[1]


def test_status_shows_the_draft_and_the_storage_in_force(
    client: Client, call: Called, data_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    generated(call)
    client.storages.promote(client.storages.draft().revision, force=True, reason="now")
    generated(call)
    status = client.status()
    assert status.draft == client.storages.draft()
    assert status.cluster == client.storages.cluster()
    monkeypatch.setenv("EXTAUDIT_PROFILE", "none")
    assert run(["status", "--data-dir", str(data_dir)]) == 0
    lines = [line.split() for line in capfd.readouterr().out.splitlines()]
    told = {line[0]: line for line in lines if ACCOUNT in line}
    assert told["in"][2] == status.cluster.storage_id
    assert told["draft"][1] == status.draft.storage_id


def test_the_client_tells_apart_why_it_is_refused(client: Client) -> None:
    made = client.storages.generate("production", "us-west-2", StorageOptions("none"), "mine")
    assert (made.options.object_lock_mode, made.options.object_lock_days) == ("none", 0)
    with pytest.raises(AlreadyExists):
        client.storages.create(made.spec)
    with pytest.raises(StaleRevision):
        client.storages.upsert(made.spec, revision="other")
    with pytest.raises(PreconditionFailed):
        client.storages.promote(made.revision)
    with pytest.raises(InvalidRequest) as caught:
        client.storages.upsert(made.spec, StorageOptions(results_days=-1), revision=made.revision)
    assert [each.field for each in caught.value.violations] == ["options.results_days"]
    with pytest.raises(ValueError, match="governance"):
        client.storages.create(made.spec, StorageOptions("forever"))


def test_the_client_for_asyncio_does_the_same(client: Client, data_dir: Path) -> None:
    async def walk() -> list[str]:
        async with AsyncClient(find_connection({}, data_dir)) as other:
            made = await other.storages.generate("production", "us-west-2")
            assert await other.storages.draft() == made
            await other.storages.delete_draft(made.revision)
            again = await other.storages.create(made.spec, made.options, "x")
            changed = await other.storages.upsert(made.spec, made.options, "y", revision=again.revision)
            cluster = await other.storages.promote(changed.revision, force=True, reason="now")
            assert await other.storages.cluster() == cluster
            await other.storages.disable(cluster.revision, "over")
            return [row.description async for row in other.storages.promotions()]

    assert asyncio.run(walk())[:2] == ["y", "y"]


@pytest.mark.skipif(TMUX is None, reason="needs tmux")
def test_on_a_terminal_promote_and_disable_ask(
    client: Client, call: Called, data_dir: Path, switch: MemorySwitch, tmp_path: Path
) -> None:
    generated(call)
    command = [str(Path(sys.executable).parent / "extaudit"), "storage", "promote", "--data-dir", str(data_dir)]
    force = ["--force", "--reason", "now", "--profile", "none"]
    with terminal(tmp_path, {}) as shell:
        end = shell.start([*command, *force])
        shell.wait_for("[y/N]:")
        shell.type("n", "Enter")
        screen = shell.wait_for(end)
        assert any("nothing was done" in line for line in screen)
        assert switch.went == []
        end = shell.start([*command, *force])
        shell.wait_for("[y/N]:")
        shell.type("y", "Enter")
        shell.wait_for(end)
    assert switch.went == [client.storages.cluster().storage_id]
