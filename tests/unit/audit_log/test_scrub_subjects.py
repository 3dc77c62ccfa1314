"""One walk over several subjects: each has its own names, and one that is away holds up none of the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from server.audit_log.scrub.subjects import Subject, Subjects
from server.state.storage_damage import Damage
from server.storage.ports import StorageError


@dataclass
class ListedSubject:
    """A Subject that has names, and notes what is checked."""

    storage: str
    names: list[str]
    is_away: bool = False
    checked: list[str] = field(default_factory=list)
    begun: int = 0

    @property
    def damage(self) -> Mapping[str, Damage]:
        return {name: Damage(self.storage, name, "missing", "", 0) for name in self.names[:1]}

    def begin(self) -> None:
        self.begun += 1

    def look(self) -> list[str]:
        if self.is_away:
            raise StorageError("away")
        return list(self.names)

    def check(self, name: str, read: Callable[[int], None]) -> None:
        self.checked.append(name)


def test_each_is_looked_at_under_its_own_names_and_one_that_comes_later_too() -> None:
    events, first, later = (ListedSubject(storage, ["a", "b"]) for storage in ("default", "default", "aws-1"))
    others: dict[str, Subject] = {"~default/": first}
    walk = Subjects(events, lambda: others)
    walk.begin()
    assert walk.look() == ["a", "b", "~default/a", "~default/b"]
    others["~aws-1/"] = later
    assert walk.look() == ["a", "b", "~aws-1/a", "~aws-1/b", "~default/a", "~default/b"]
    assert (events.begun, first.begun, later.begun) == (1, 1, 1)
    for name in ("b", "~default/a", "~aws-1/b"):
        walk.check(name, lambda size: None)
    assert (events.checked, first.checked, later.checked) == (["b"], ["a"], ["b"])
    assert {name: each.storage for name, each in walk.damage.items()} == {
        "a": "default",
        "~default/a": "default",
        "~aws-1/a": "aws-1",
    }


def test_one_that_is_away_keeps_its_names_and_the_first_stops_the_walk() -> None:
    events, away = ListedSubject("default", ["a"]), ListedSubject("aws-1", ["b"])
    walk = Subjects(events, lambda: {"~aws-1/": away})
    walk.begin()
    assert walk.look() == ["a", "~aws-1/b"]
    away.is_away = True
    assert walk.look() == ["a", "~aws-1/b"]
    events.is_away = True
    with pytest.raises(StorageError):
        walk.look()
