"""What an export wrote stays: no other one, with whichever state, writes there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from extaudit_cli.exporting.destination import destination
from extaudit_cli.exporting.outputs import Output, Piece
from extaudit_cli.exporting.state import ExportState, StateFile, StateProblem, held

from server.files import DiskFiles
from tests.unit.cli.conftest import Command
from tests.unit.client.fake_service import FakeService

BOTH = pytest.mark.parametrize("out", ["out/", "out.jsonl"])
LOG = Piece("log", 1, 3)


def opened(out: str, state: str) -> Output:
    """An output as a run of the command opens it."""
    files, place = DiskFiles(), destination(out, None, gzip=False, receipts=False, state=Path(state))
    keeper = StateFile(files, Path(state))
    place.prepare(files)
    return place.open(files, keeper.load() or ExportState({}), keeper)


def write(output: Output, data: bytes) -> None:
    output.begin(LOG)
    output.append(data)
    output.advance(place={"log": 3})


def content(out: str) -> dict[str, bytes]:
    paths = Path(out).iterdir() if out.endswith("/") else [Path(out)]
    return {path.name: path.read_bytes() for path in paths if ".jsonl" in path.name}


@BOTH
def test_two_states_never_have_one_place_at_once(service: FakeService, extaudit: Command, out: str) -> None:
    os.mkdir("out")
    with held(Path("out/export-state.json" if out == "out/" else "out.jsonl.export-state.json")):
        refused = extaudit("events", "export", "--out", out, "--state", "one.json")
    assert (refused.code, "another export is using out" in refused.err) == (1, True)
    assert not os.path.exists("one.json")


def test_nor_one_after_the_other_and_no_state_has_two_folders(service: FakeService, extaudit: Command) -> None:
    assert extaudit("events", "export", "--out", "out/", "--state", "one.json", "--to", "2020-01-01").code == 0
    before = content("out/")
    refused = extaudit("events", "export", "--out", "out/", "--state", "two.json")
    assert (refused.code, "isn't empty" in refused.err) == (1, True)
    moved = extaudit("events", "export", "--out", "other/", "--state", "one.json", "--to", "2020-01-01")
    assert (moved.code, "isn't the folder that the state's export has written" in moved.err) == (1, True)
    assert (content("out/"), os.path.exists("other")) == (before, False)


def test_a_state_that_was_begun_in_a_folder_of_another_takes_nothing_there() -> None:
    write(one := opened("out/", "one.json"), b"1\n")
    one.checkpoint()
    with pytest.raises(StateProblem, match="another export's"):
        opened("out/", "two.json")
    assert content("out/") == {"log-1.jsonl.partial": b"1\n"}


def test_nothing_is_renamed_over_what_is_there() -> None:
    write(one := opened("out/", "one.json"), b"1\n")
    Path("out/log-1-3.jsonl").write_bytes(b"another's\n")
    with pytest.raises(StateProblem, match=r"log-1-3\.jsonl is there already"):
        one.end()
    assert content("out/") == {"log-1.jsonl.partial": b"1\n", "log-1-3.jsonl": b"another's\n"}


def test_a_file_that_came_since_the_state_was_begun_is_left() -> None:
    Path("out.jsonl").write_bytes(b"another's\n")
    with pytest.raises(StateProblem, match=r"is there already.*remove the file"):
        opened("out.jsonl", "one.json")
    assert content("out.jsonl") == {"out.jsonl": b"another's\n"}


@BOTH
@pytest.mark.parametrize("another", [True, False])
def test_who_writes_to_what_was_removed_hears_it_and_harms_no_other(out: str, another: bool) -> None:
    write(one := opened(out, "one.json"), b"1\n")
    one.checkpoint()
    kept = Path("one.json").read_bytes()
    if out == "out/":
        shutil.rmtree(out)
    else:
        os.remove(out)
    if another:
        write(two := opened(out, "two.json"), b"2\n")
        two.checkpoint()
    one.append(b"3\n")
    for step in (one.checkpoint, one.end):
        with pytest.raises(StateProblem):
            step()
    assert Path("one.json").read_bytes() == kept
    if another:
        assert list(content(out).values()) == [b"2\n"]
