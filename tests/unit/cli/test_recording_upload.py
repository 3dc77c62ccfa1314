"""What `extaudit recordings upload` says where nothing is sent, or where what has arrived can't be completed now."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import pytest
from extaudit_cli.recording_upload import _complete
from extaudit_client import Client, ConnectionFailed, ExtauditError, RecordingMismatch, Unavailable, Uploaded

from tests.unit.cli.conftest import Command
from tests.unit.client.fake_service import FakeService

ARRIVED = Uploaded("f" * 64, 4, "c" * 64, "a" * 64)
AWAY = Unavailable("UNAVAILABLE", "STORAGE_UNAVAILABLE", "s3:PutObject: no answer came")


@pytest.mark.parametrize("error", [AWAY, ConnectionFailed("the connection was lost")])
def test_it_names_the_command_that_asks_again_so_that_nothing_is_sent_twice(error: ExtauditError) -> None:
    with pytest.raises(click.ClickException) as raised:
        _complete(failing(error), ARRIVED)
    assert f"`extaudit recordings complete {ARRIVED.upload_id}`" in raised.value.message
    assert error.message in raised.value.message


def test_what_asking_again_would_not_help_is_told_as_it_is() -> None:
    with pytest.raises(RecordingMismatch):
        _complete(failing(RecordingMismatch("FAILED_PRECONDITION", "RECORDING_MISMATCH", "another digest")), ARRIVED)


def test_an_empty_file_begins_no_upload(service: FakeService, extaudit: Command, tmp_path: Path) -> None:
    begun: list[object] = []
    service.upload = lambda requests: iter(begun.append(requests) or ())  # type: ignore[func-returns-value]
    empty = tmp_path / "empty.tar"
    empty.touch()
    outcome = extaudit("recordings", "upload", str(empty), "--session", "6f0b9d3e-54c7-4c0e-9f2b-0d6f2a3c4e51")
    assert (outcome.code, outcome.err) == (1, "Error: there is nothing in the file; no upload was begun\n")
    assert begun == []


def failing(error: ExtauditError) -> Client:
    """A client whose service goes away between the last byte and completion: no real one does so when it is told."""

    def complete(*_: Any, **__: Any) -> None:
        raise error

    return cast(Client, SimpleNamespace(recordings=SimpleNamespace(complete=complete)))
