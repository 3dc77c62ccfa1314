"""The examples that help shows, as they stand but for names that nobody could know, and programs on pages: they run."""

from __future__ import annotations

import contextlib
import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import extaudit_cli
import pytest
from extaudit_cli.main import run
from extaudit_cli.storage_file import storage_document, yaml_text
from extaudit_cli.tree import calls_in, every_command
from extaudit_client import Client, EventRow, NotFound, TextQuery

from tests.docs.console_blocks import shown
from tests.docs.walk import ROOT
from tests.polling import until
from tests.running_server import RunningServer, running_server

SHELL = "d5b6f0c2-3c1d-4f0e-9a57-51a0c7e3b8f4"
SAMPLES = Path(extaudit_cli.__file__).parent / "sample-recordings"
LOCK = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
COMPONENT = "4f1c2b6e-8a53-4d0e-9a43-3f0f8d1f6c11"
NOT_RUN = {
    "extaudit serve": "it serves: the other end-to-end tests do that",
    "extaudit journal": "needs a stopped service: its own tests do it",
    "forget-signing-keys": "needs a stopped service: its own tests do it",
    "storage bootstrap": "needs an account in AWS: its own tests and the demo do it",
    "extaudit events tail": "has no end, but with --no-follow: its own tests run it",
    "--follow": "has no end: its own tests run it",
    "producer |": "reads what another program writes",
    "recorder |": "reads what another program writes",
    "--upload UPLOAD": "goes on with an upload that was interrupted: its own tests do it",
    "integrations aws-setup": "needs an AWS account: its own tests run it against a sandbox",
    "me.key --use": "run once, by the fixture",
    "apply -f -": "reads what another program writes",
    "storage test": "needs an account in AWS: its own tests and the demo do it",
    "storage promote": "needs a connection test: its own tests run it",
    "storage disable": "needs a storage in force: its own tests run it",
    "storage divert": "needs a storage that is gone: its own test runs it",
    "--stage cluster": "needs a storage in force: its own tests run it",
}
EXAMPLES = list(
    dict.fromkeys(
        line for node in every_command() for line in node.examples if not any(words in line for words in NOT_RUN)
    )
)


def until_indexed(server: RunningServer) -> None:
    with server.client() as client:
        until(lambda: client.recordings.search_page(TextQuery("sudo")).complete)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("examples")
    (folder / "roles").mkdir()
    shutil.copy(SAMPLES.parent / "sample-events.jsonl", folder / "events.jsonl")
    shutil.copy(SAMPLES / f"{SHELL}.tar", folder / "session.tar")
    issuer = ("--issuer-url", "https://own.test", "--issuer-publish-ahead-seconds", "0")
    with running_server(folder, *issuer) as running:
        for ours, theirs in (("ca.crt", "ca.crt"), ("me.crt", "admin.crt"), ("me.key", "admin.key")):
            shutil.copy(running.data_dir / "identity" / theirs, folder / ours)
        with running.client() as client:
            list(client.emit_stream((folder / "events.jsonl").read_bytes().splitlines()))
            for session in (SHELL, LOCK):
                with (folder / "session.tar").open("rb") as file:
                    uploaded = client.recordings.upload(file, session)
                client.recordings.complete(uploaded.upload_id)
        until_indexed(running)
        yield running


@pytest.fixture
def here(server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The server's folder, with profiles of this test alone."""
    folder = server.data_dir.parent
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    files = ["--ca", "ca.crt", "--cert", "me.crt", "--key", "me.key"]
    assert run(["profile", "add", "prod", "--address", server.connection().address, *files, "--use"]) == 0
    assert run(["profile", "add", "lab", "--data-dir", "data", "--replace"]) == 0
    return folder


def prepare(line: str, folder: Path) -> None:
    """Make what the line goes on with, and nothing that it makes itself."""
    if "profile add lab" in line:
        assert run(["profile", "remove", "lab"]) == 0
    if "evidence/" in line:
        shutil.rmtree("evidence", ignore_errors=True)
    if "identity" in line:
        shutil.rmtree("alice", ignore_errors=True)
        for made in (folder / "data" / "identity").glob(f"{COMPONENT}*"):
            made.unlink()
    if "identity renew alice" in line:
        assert run(["identity", "issue", "alice", "--role", "auditor", "--out-dir", "alice"]) == 0


def known(words: list[str], server: RunningServer, folder: Path) -> list[str]:
    """The words with what is made up in them replaced by what is there."""
    with server.client() as client:
        names = {"/srv/extaudit/data": str(folder / "data"), "audit.example.com:9443": server.connection().address}
        if "remove" in words and LOCK in words:
            names[LOCK] = client.create_lock("user", "bob", "to be removed").id
        if "UPLOAD" in words:
            with (folder / "session.tar").open("rb") as file:
                names["UPLOAD"] = client.recordings.upload(file, str(uuid.uuid4())).upload_id
        if words[:1] == ["storage"]:
            names["0e6c1f6a-2f6f-4f3a-9a6a-6c1d7f5b8a01"] = storage_draft(client, folder, there=words[1] != "generate")
        if words[:1] == ["integrations"]:
            remove_draft(client)
            names["REVISION"] = integration(client, there="create" not in words)
        if "LOG_ID:42" in words:
            names["LOG_ID:42"] = f"{client.status().journal.log_id}:1"
    return [names.get(word, word) for word in words]


def storage_draft(client: Client, folder: Path, *, there: bool) -> str:
    """Have the draft of the examples there, or not, and its file; gives its revision."""
    remove_draft(client)
    integration(client, there=True)
    draft = client.storages.generate("production", "us-west-2")
    (folder / "draft.yaml").write_text(yaml_text(storage_document(draft, as_draft=True)))
    if there:
        return draft.revision
    client.storages.delete_draft()
    return ""


def remove_draft(client: Client) -> None:
    with contextlib.suppress(NotFound):
        client.storages.delete_draft()


def integration(client: Client, *, there: bool) -> str:
    """Have the integration of the examples there, or not; gives its revision."""
    for each in client.integrations.list():
        if each.name == "production":
            client.integrations.delete("production")
    return client.integrations.create("production", "arn:aws:iam::111122223333:role/old").revision if there else ""


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_does_what_it_shows(
    line: str, server: RunningServer, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(line, here)
    if "recordings search" in line:
        until_indexed(server)  # what another example uploaded, say
    for words in calls_in(line):
        capfd.readouterr()
        code = run(known(words, server, here))
        captured = capfd.readouterr()
        assert (code, captured.err if code else "") == (0, "")
        if words[-2:] == ["--output", "json"]:
            json.loads(captured.out)


class Enough(Exception):
    """Of a watch, which has no end."""


@pytest.mark.parametrize("page", ["watching.md", "export.md", "recordings.md"])
def test_a_program_on_a_page_runs(page: str, server: RunningServer, here: Path) -> None:
    program = shown((ROOT / "docs" / page).read_text(), "python")[-1]
    handled = list[EventRow]()

    def keep(place: dict[str, int]) -> None:
        if handled:
            assert place[handled[-1].receipts[0].log_id] > 0
            raise Enough

    known: dict[str, Any] = {"handle": handled.append, "alarm": pytest.fail, "keep": keep}
    with contextlib.suppress(Enough):
        exec(compile(program, page, "exec"), known)
    if page == "watching.md":
        assert {row.type for row in handled} == {"user.login"}
    elif page == "export.md":
        assert known["kept_place"]
    else:
        assert Path("again.tar").read_bytes() == Path("session.tar").read_bytes()


def test_what_is_not_run_is_there_no_more_than_it_is_needed() -> None:
    lines = [line for node in every_command() for line in node.examples]
    assert [words for words in NOT_RUN if not any(words in line for line in lines)] == []
