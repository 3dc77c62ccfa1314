"""What befalls the service outside of calls: notes, steps of the clock, policies kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from rbac.policy import load_policy_folder
from server.audit_log.changes import Changes
from server.audit_log.clock_steps import ClockSteps
from server.audit_log.kept_policies import KeptPolicies
from server.files import DiskFiles
from server.state.database import StateFault, open_database
from server.state.outbox import Outbox


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(tmp_path / "state.db")
    yield engine
    engine.dispose()


def test_notes_reach_the_outbox_in_order_and_once(engine: Engine) -> None:
    outbox = Outbox(engine)
    changes = Changes(outbox)
    changes.clock_stepped(-2.00049)
    changes.roles_refused("d", "a.yaml:3: no")
    assert len(outbox) == 0, "noting waits for nothing"
    changes.write()
    changes.write()
    first, second = (json.loads(item.data) for item in outbox.first(10))
    assert (first["event"], first["seconds"]) == ("extaudit.clock.step", -2.0)
    assert (second["event"], second["reason"]) == ("extaudit.roles.refused", "a.yaml:3: no")


def test_notes_are_kept_while_the_state_cannot_be_written(engine: Engine) -> None:
    outbox = Outbox(engine)
    changes = Changes(outbox)
    changes.key_set_reloaded("https://issuer", ["b", "a"])
    changes.certificates_refused("it is too large")
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE outbox RENAME TO away")
    with pytest.raises(StateFault):
        changes.write()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO outbox")
    changes.write()
    first, second = (json.loads(item.data) for item in outbox.first(10))
    assert (first["issuer"], first["keys"]) == ("https://issuer", ["a", "b"])
    assert second["reason"] == "it is too large"


class Clock:
    """A clock that a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("moves", "told"),
    [
        ([0.0, 0.4, 0.5], [0.0, 0.0, 0.0]),
        ([1.5], [1.5]),
        ([-3600.0, 0.0], [-3600.0, 0.0]),
        ([5.0, -5.0], [5.0, -5.0]),
        ([0.75, 0.75, 0.0], [0.0, 1.5, 0.0]),
    ],
    ids=["within a second", "forward", "back", "there and back", "in small steps"],
)
def test_a_step_of_more_than_a_second_is_told_once(moves: list[float], told: list[float]) -> None:
    wall, steady = Clock(1_000_000.0), Clock(50.0)
    steps = ClockSteps(wall, steady)
    found = []
    for move in moves:
        wall.now += move + 0.25
        steady.now += 0.25
        found.append(steps.step())
    assert found == told


def test_a_kept_policy_is_named_by_the_digest_of_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    kept, policy = KeptPolicies(DiskFiles(), folder), load_policy_folder(None)
    for _ in range(2):
        kept.keep(policy.digest, policy.document)
    (file,) = folder.iterdir()
    assert file.name == f"{policy.digest}.json"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == policy.digest
    assert set(json.loads(file.read_bytes())) == policy.roles


def test_a_policy_that_could_not_be_kept_is_kept_the_next_time(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.write_text("in the way")
    kept = KeptPolicies(DiskFiles(), folder)
    with pytest.raises(OSError, match=r"exist|directory"):
        kept.keep("d", "{}")
    folder.unlink()
    kept.keep("d", "{}")
    assert [path.name for path in folder.iterdir()] == ["d.json"]
