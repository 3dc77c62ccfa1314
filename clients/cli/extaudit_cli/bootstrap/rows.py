"""What was found and done of each part of the plan."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import Any

from extaudit_cli.aws.problems import AwsProblem, AwsRefusal

Value = Any
"""A JSON value: of the plan, or as found in AWS. None where there is nothing."""


class Outcome(enum.Enum):
    """How it stands with one part of the plan; the values are what people see."""

    EQUAL = "equal"
    CREATED = "created"
    SET = "set"
    """There was nothing, and now it is as planned."""
    UPDATED = "updated"
    """It was otherwise, and was changed because that was asked for."""
    DIFFERS = "differs"
    """It is otherwise, and was left as it is."""
    MISSING = "missing"
    """There is nothing, in something of the user's, and that was left so."""
    WOULD_CREATE = "would create"
    WOULD_SET = "would set"
    WOULD_UPDATE = "would update"
    NOT_LOOKED_AT = "not looked at"
    NOT_TRIED = "not tried"
    FAILED = "failed"


AS_PLANNED = frozenset({Outcome.EQUAL, Outcome.CREATED, Outcome.SET, Outcome.UPDATED})
CHANGED = frozenset({Outcome.CREATED, Outcome.SET, Outcome.UPDATED})


@dataclass(frozen=True, slots=True)
class Row:
    """One part of the plan. `attribute` is '' for the whole thing, such as a bucket; `subject` is its name in AWS."""

    thing: str
    attribute: str
    subject: str
    outcome: Outcome
    planned: Value = None
    found: Value = None
    detail: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    """What is beside the plan, and was left."""
    code: str = ""
    """AWS's error code."""
    action: str = ""
    """The IAM action that was refused."""
    request_id: str = ""

    @property
    def name(self) -> str:
        """What `--update` calls it: `<thing>`, or `<thing>.<attribute>`."""
        return f"{self.thing}.{self.attribute}" if self.attribute else self.thing


@dataclass(slots=True)
class Report:
    """All rows, in the order of the steps."""

    dry_run: bool
    rows: list[Row] = field(default_factory=list)

    def count(self, *outcomes: Outcome) -> int:
        """Rows with one of these outcomes."""
        return sum(row.outcome in outcomes for row in self.rows)

    @property
    def exit_code(self) -> int:
        """0 where all is as planned; 3 where a dry run couldn't look at all, and all else is as planned; else 1."""
        others = {row.outcome for row in self.rows} - AS_PLANNED
        if not others:
            return 0
        return 3 if self.dry_run and others == {Outcome.NOT_LOOKED_AT} else 1


def with_problem(row: Row, problem: AwsProblem) -> Row:
    """A row that tells of a call that failed."""
    row = replace(row, detail=problem.format_message())
    if not isinstance(problem, AwsRefusal):
        return row
    return replace(row, code=problem.code, action=problem.action, request_id=problem.request_id)
