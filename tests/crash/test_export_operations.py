"""Stop an export before each single file operation, run it again, and compare its files with what there was to export.

Between the runs the service goes on: what an export found in no chunk is in one now, and there is more.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from extaudit_cli.exporting.destination import destination
from extaudit_cli.exporting.owner import OWNER
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.question import Question
from extaudit_cli.exporting.resumption import Outcome, ResumableExport
from extaudit_client import ExtauditError, Query

from tests.crash.export_source import Logs
from tests.crash.forgetful_files import ForgetfulFiles

BEFORE = Logs({"one": 10, "two": 4}, {"one": (4, 7), "two": (3,)})
AFTER = Logs({"one": 14, "two": 6}, {"one": (4, 7, 9, 12), "two": (3, 6)})
FORMS = ["out/ jsonl", "out/ jsonl gzip", "out/ parquet state elsewhere", "out.jsonl state elsewhere", "out.csv.gz"]

Row = tuple[str, int, bytes]


def export(files: ForgetfulFiles, source: Logs, form: str) -> Outcome:
    out, *rest = form.split()
    state = Path("elsewhere/state") if "elsewhere" in rest else None
    if state:
        files.make_folder(state.parent)
    place = destination(
        out, rest[0] if out.endswith("/") else None, gzip="gzip" in rest, receipts="jsonl" in form, state=state
    )
    ticks = count()  # so that every checkpoint is due
    place.prepare(files)
    return ResumableExport(
        source,
        place,
        Question(Query(storage="followed"), None, None, place.form, place.layout),
        Progress(quiet=True),
        parallel=2,
        lost=_never,
        files=files,
        clock=lambda: float(next(ticks)),
    ).run_alone(follow=False)


def _never(error: ExtauditError, seconds: float) -> None:
    raise AssertionError("nothing is lost here")


def rows(files: ForgetfulFiles, form: str) -> list[Row]:
    """All that the files hold, sorted; none of them may be partial."""
    out = Path(form.split()[0])
    names = [out / name for name in files.list(out)] if form.startswith("out/") else [out]
    assert not [path for path in names if path.name.endswith(".partial")]
    found = [row for path in names if _has_rows(path.name) for row in _read(path.name, files.read(path))]
    return sorted(found)


def _has_rows(name: str) -> bool:
    return "state" not in name and name != OWNER


def _read(name: str, data: bytes) -> Iterator[Row]:
    if name.endswith(".gz"):
        data, name = gzip.decompress(data), name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        for line in data.splitlines():
            found = json.loads(line)
            yield found["receipt"]["log_id"], found["receipt"]["sequence"], json.dumps(found["event"]).encode()
    elif name.endswith(".csv"):
        for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
            yield row["log_id"], int(row["sequence"]), row["json"].encode()
    else:
        for row in pq.read_table(io.BytesIO(data)).to_pylist():
            yield row["log_id"], row["sequence"], row["event_data"].encode()


def stopped(files: ForgetfulFiles, source: Logs, form: str) -> Iterator[tuple[str, ForgetfulFiles]]:
    """What a stop before each operation of an export from these files on leaves: which that was, and the files."""
    world, found = files.copy(), list[tuple[str, ForgetfulFiles]]()
    world.before = lambda number, name: found.append((f"{number} ({name})", world.copy()))
    export(world, source, form)
    return iter(found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_before_any_operation_loses_nothing_and_repeats_nothing(form: str, power_loss: bool) -> None:
    stops = 0
    for at, world in stopped(ForgetfulFiles(), BEFORE, form):
        files = world.copy(power_loss=power_loss)
        outcome = export(files, AFTER, form)
        assert rows(files, form) == AFTER.all(), at
        assert outcome.state.events == len(AFTER.all()), at
        assert outcome.state.place == AFTER.events, at
        stops += 1
    assert stops > 20


@pytest.mark.parametrize("form", ["out/ jsonl state elsewhere", "out/ parquet", "out.csv.gz state elsewhere"])
def test_nor_does_a_loss_of_power_in_the_run_after_a_kill(form: str) -> None:
    """What the first run didn't sync is seen, believed and built upon: it must be made durable first."""
    unsynced = [found for found in stopped(ForgetfulFiles(), BEFORE, form) if "sync folder" in found[0]]
    lives = [*((found, AFTER) for found in unsynced[1::3]), *((found, BEFORE) for found in unsynced[-4:])]
    for (at, world), then_there_is in lives:
        for then, next_world in islice(stopped(world.copy(), then_there_is, form), 0, 24, 3):
            files = next_world.copy(power_loss=True)
            export(files, AFTER, form)
            assert rows(files, form) == AFTER.all(), f"{at}, then {then}"


@pytest.mark.parametrize("form", FORMS)
def test_a_disk_that_is_full_at_any_operation_leaves_what_can_be_gone_on_with(form: str) -> None:
    faults = 0
    for number in range(1, 1000, 3):
        files = ForgetfulFiles()

        def full(at: int, name: str, number: int = number) -> None:
            if at >= number:
                raise OSError(errno.ENOSPC, "No space left on device")

        files.before = full
        try:
            export(files, BEFORE, form)
        except OSError:
            pass
        else:
            break
        assert files.open_files == 0
        files.before = lambda number, name: None
        export(files, AFTER, form)
        assert rows(files, form) == AFTER.all(), number
        faults += 1
    assert faults > 7


@pytest.mark.parametrize("form", FORMS)
def test_a_finished_export_run_again_gives_what_is_new(form: str) -> None:
    files = ForgetfulFiles()
    assert not export(files, BEFORE, form).continued
    assert rows(files, form) == BEFORE.all()
    outcome = export(files, AFTER, form)
    assert outcome.continued
    assert rows(files, form) == AFTER.all()
    before = files.digest()
    export(files, AFTER, form)
    assert files.digest() == before, "where nothing is new nothing changes"
