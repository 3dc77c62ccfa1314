"""What the service writes about itself: every type, each as docs/service-events.md describes it, no client's own."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from server.service_events import CODES
from tests.e2e.every_own_event import Events, every_own_event

DOCUMENT = Path(__file__).parents[2] / "docs" / "service-events.md"
COMMON = {"event", "code", "time", "uid"}
FREE = {"filters", "start", "from", "to"}
"""Members whose own members depend on what was asked for, or are names of logs."""
CALLER = {"user", "caller", "request_id"}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Events, Path]:
    return every_own_event(tmp_path_factory.mktemp("lives"))


@pytest.fixture(scope="module")
def events(lived: tuple[Events, Path]) -> Events:
    return lived[0]


def documented() -> dict[str, dict[str, Any]]:
    """The example of each type."""
    sections = re.findall(r"^### `([a-z_.]+)`\n(.*?)(?=^##|\Z)", DOCUMENT.read_text(), re.M | re.S)
    return {kind: json.loads(re.findall(r"```json\n(.*?)```", text, re.S)[0]) for kind, text in sections}


def test_every_type_is_documented_with_an_example_of_its_code() -> None:
    found = documented()
    assert set(found) == set(CODES)
    assert {kind: (example["event"], example["code"]) for kind, example in found.items()} == {
        kind: (kind, code) for kind, code in CODES.items()
    }


@pytest.mark.parametrize("kind", CODES)
def test_an_event_has_the_members_of_its_example(events: Events, kind: str) -> None:
    assert events[kind], "the service never wrote one"
    example = documented()[kind]
    for event in events[kind]:
        assert event.keys() >= COMMON
        assert shape(event) <= shape(example)
    assert set().union(*(event.keys() for event in events[kind])) == set(example)


def shape(value: dict[str, Any], under: str = "") -> set[str]:
    """The paths of all members, those of filters and other free parts left out."""
    paths = set()
    for name, each in value.items():
        paths.add(under + name)
        if isinstance(each, dict) and name not in FREE:
            paths |= shape(each, f"{under}{name}.")
    return paths


def test_start_and_stop_tell_the_run(events: Events) -> None:
    starts, stops = events["extaudit.service.start"], events["extaudit.service.stop"]
    assert [start["clean"] for start in starts] == [True, True, True]
    assert len(stops) == 2
    assert starts[0]["configuration"] != starts[1]["configuration"]
    assert starts[0]["next_sequence"] == stops[0]["first_sequence"] == 1
    assert starts[1]["next_sequence"] > stops[0]["last_sequence"]


def test_an_identity_is_told_when_it_is_issued_and_renewed_by_whom(events: Events) -> None:
    issued, renewed = events["extaudit.identity.issue"], events["extaudit.identity.renew"]
    assert [(event["identity"]["name"], event["issued_by_uid"]) for event in issued] == [
        ("admin", os.getuid()),
        ("alice", os.getuid()),
    ]
    [renewal] = renewed
    assert renewal["identity"]["roles"] == ["auditor"]
    assert renewal["identity"]["certificate_serial"] != issued[1]["identity"]["certificate_serial"]


def test_a_reload_of_roles_tells_digests_of_policies_that_are_kept(lived: tuple[Events, Path]) -> None:
    events, data_dir = lived
    [reload] = events["extaudit.roles.reload"]
    [refused] = events["extaudit.roles.refused"]
    assert reload["before"] == events["extaudit.service.start"][1]["policy"]
    assert reload["after"] == refused["in_force"]
    assert refused["reason"].startswith("broken.yaml")
    kept = {path.stem: path.read_bytes() for path in (data_dir / "policies").iterdir()}
    assert {reload["before"], reload["after"]} == set(kept)
    assert all(hashlib.sha256(document).hexdigest() == digest for digest, document in kept.items())
    assert "reader" not in json.loads(kept[reload["before"]])
    assert "reader" in json.loads(kept[reload["after"]])


def test_refusals_of_a_minute_are_the_first_and_the_rest(events: Events) -> None:
    denied = events["extaudit.access.denied"]
    assert [(event["user"], event["count"], event["hidden"]) for event in denied] == [
        ("alice", 1, "rules"),
        ("alice", 2, "rules"),
    ]
    assert denied[0]["method"] == "/extaudit.v1.AuditLogService/EmitEvent"


def test_changes_of_trust_tell_what_came_and_what_was_refused(events: Events) -> None:
    [change] = events["extaudit.certificates.reload"]
    assert (change["removed"], [each["use"] for each in change["added"]]) == ([], ["user_ca"])
    assert "users.pem" in events["extaudit.certificates.refused"][0]["reason"]
    [reloaded], [refused], [expired] = (events[f"extaudit.jwks.{what}"] for what in ("reload", "refused", "expire"))
    assert reloaded["keys"] == refused["keys"] == expired["keys"] == ["key-1"]
    assert refused["reason"] == "the key set is not a JSON object with a list of keys"


def test_a_step_of_the_clock_and_damage_and_what_could_not_be_taken_are_told(events: Events) -> None:
    assert events["extaudit.clock.step"][0]["seconds"] == pytest.approx(90.0, abs=1.0)
    [damage] = events["extaudit.journal.damage"]
    assert damage["lost"]["first_sequence"] == damage["lost"]["last_sequence"]
    [refused] = events["extaudit.outbox.refused"]
    assert json.loads(refused["original"])["time"] == "2999-01-01T00:00:00Z"


def test_no_two_events_share_a_uid(events: Events) -> None:
    uids = [event["uid"] for kind in events.values() for event in kind]
    assert len(uids) == len(set(uids))
