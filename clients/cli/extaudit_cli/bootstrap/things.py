"""What a plan consists of: things in AWS, each with attributes that are compared one by one."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from extaudit_cli.aws.problems import AwsProblem
from extaudit_cli.bootstrap.rows import Value


class State(enum.Enum):
    """What a look at an attribute found."""

    EQUAL = "equal"
    ABSENT = "absent"
    """Nobody has set anything there, or it is as AWS sets it by itself."""
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    """It couldn't be looked at."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute as planned and as found; both are JSON values, and None is nothing."""

    name: str
    state: State
    planned: Value
    found: Value = None
    problem: AwsProblem | None = None
    """Why it is UNKNOWN."""
    by_hand: str = ""
    """What to do where this can't be put right by a change of ours; '' where it can."""
    notes: tuple[str, ...] = ()
    """What is beside the plan, and stays."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a thing."""

    attributes: tuple[Attribute, ...] = ()
    ours: bool = False
    """Whether what nobody has set may be set unasked: the thing has our tags, or is bare."""


class Obstacle(Exception):
    """Something because of which nothing at all is changed."""

    def __init__(self, detail: str, remedy: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy


class Thing(Protocol):
    """Something of the plan in AWS. Every method raises AwsProblem where AWS refuses or can't be asked."""

    @property
    def name(self) -> str:
        """Such as `long-term-bucket`."""

    @property
    def subject(self) -> str:
        """Its name in AWS."""

    @property
    def within(self) -> str:
        """The thing without which this one can't be; '' for none."""

    @property
    def planned(self) -> Mapping[str, Value]:
        """Every attribute that `look` compares, with what is planned."""

    def look(self) -> Found | None:
        """Compare what there is; None where there is no such thing.

        Raises:
            Obstacle: it is of somebody else, or can never be as planned.
        """

    def create(self) -> None:
        """Make it. What it doesn't have by then is set attribute by attribute."""

    def change(self, attribute: Attribute) -> None:
        """Make an attribute of it as planned, and keep what else is there."""


def compared(name: str, planned: Value, found: Value) -> Attribute:
    """An attribute that is equal where its values are; nothing found where something is planned is ABSENT."""
    if found == planned:
        return Attribute(name, State.EQUAL, planned, found)
    return Attribute(name, State.ABSENT if found is None else State.DIFFERENT, planned, found)


def compared_tags(planned: Mapping[str, str], found: Mapping[str, str]) -> Attribute:
    """Tags are equal where the planned ones are there; others stay."""
    ours = {key: value for key, value in found.items() if key in planned}
    beside = tuple(f"tag {key!r} is beside the plan" for key in sorted(found.keys() - planned.keys()))
    if not found and planned:
        return Attribute("tags", State.ABSENT, dict(planned))
    state = State.EQUAL if ours == planned else State.DIFFERENT
    return Attribute("tags", state, dict(planned), ours, notes=beside)
