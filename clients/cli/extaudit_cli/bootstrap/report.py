"""What a run found and did, for people and as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from extaudit_client import InfrastructurePlan

from extaudit_cli.aws.admin import Account
from extaudit_cli.bootstrap.rows import CHANGED, Outcome, Report, Row
from extaudit_cli.bootstrap.values import differing, is_long, planned_lines, short
from extaudit_cli.colours import Paint, Style
from extaudit_cli.output import write_json
from extaudit_cli.text import visible
from extaudit_cli.times import time_text

FORMAT: Final = 1
_STYLES: Final[dict[Outcome, Style]] = {
    Outcome.EQUAL: "quiet",
    Outcome.CREATED: "good",
    Outcome.SET: "good",
    Outcome.UPDATED: "good",
    Outcome.DIFFERS: "warning",
    Outcome.MISSING: "warning",
    Outcome.NOT_LOOKED_AT: "warning",
    Outcome.NOT_TRIED: "warning",
    Outcome.FAILED: "bad",
}
_PLAIN: Final = frozenset({Outcome.EQUAL, Outcome.SET})
"""Of attributes that are so only the names are told, together."""
_PLANNED: Final = frozenset({Outcome.WOULD_CREATE, Outcome.WOULD_SET})
_UNLIKE: Final = frozenset({Outcome.DIFFERS, Outcome.MISSING, Outcome.WOULD_UPDATE, Outcome.UPDATED})
_INDENT: Final = " " * 14


@dataclass(frozen=True, slots=True)
class Header:
    """Of what plan, where, with whose credentials, when."""

    plan: InfrastructurePlan
    stage: str
    account: Account
    time: datetime
    dry_run: bool

    @classmethod
    def now(cls, plan: InfrastructurePlan, stage: str, account: Account, *, dry_run: bool) -> Header:
        """Of this moment."""
        return cls(plan, stage, account, datetime.now(UTC), dry_run)

    @property
    def heading(self) -> str:
        """What people read first."""
        what = "What there is, beside the plan" if self.dry_run else "Building the plan"
        where = f"account {self.plan.account_id}, {self.plan.region}"
        return f"{what} of the {self.stage}: {where}, as {self.account.arn}"

    @property
    def members(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "format": FORMAT,
            "time": time_text(self.time),
            "stage": self.stage,
            "revision": self.plan.revision,
            "account_id": self.plan.account_id,
            "region": self.plan.region,
            "caller": self.account.arn,
        }


@dataclass(slots=True)
class Printer:
    """Prints for people, thing by thing as each is done."""

    paint: Paint
    heading: str
    _plain: list[Row] = field(default_factory=list)
    """What comes together into the next line."""

    def __post_init__(self) -> None:
        self.paint.echo(self.paint(visible(self.heading), "heading"))

    def row(self, row: Row) -> None:
        """Take a row."""
        if row.attribute and row.outcome in _PLAIN and not row.notes:
            if self._plain and self._plain[0].outcome is not row.outcome:
                self._flush()
            self._plain.append(row)
            return
        self._flush()
        name = row.name if row.attribute else f"{row.name}  {row.subject}"
        self._line(row.outcome, f"{name}{_value(row)}", _below(row))

    def end(self, report: Report) -> None:
        """Say how it ended."""
        self._flush()
        counts = ", ".join(f"{count} {name}" for name, count in _counts(report).items())
        style: Style = "good" if report.exit_code == 0 else "warning"
        self.paint.echo(f"\n{self.paint(visible(f'{_verdict(report)}: {counts}'), style)}")

    def _flush(self) -> None:
        if self._plain:
            names = ", ".join(row.attribute for row in self._plain)
            self._line(self._plain[0].outcome, f"  {names}", [])
            self._plain.clear()

    def _line(self, outcome: Outcome, text: str, below: list[str]) -> None:
        head = self.paint(f"{outcome.value:<{len(_INDENT)}}", _STYLES.get(outcome, "plain"))
        self.paint.echo("\n".join([head + visible(text), *(visible(_INDENT + line) for line in below)]))


def print_json(members: Mapping[str, Any], report: Report, output: str) -> None:
    """Print all as one document, or row by row and then the rest; `members` say what it is about."""
    ended = {"dry_run": report.dry_run, "as_planned": report.exit_code == 0, "counts": _counts(report)}
    head = {**members, **ended}
    rows = [_record(row) for row in report.rows]
    if output == "json":
        write_json(head | {"rows": rows})
        return
    for row in rows:
        write_json({"kind": "row"} | row, indent=None)
    write_json({"kind": "end"} | head, indent=None)


def _record(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "subject": row.subject,
        "outcome": row.outcome.value,
        "planned": row.planned,
        "found": row.found,
        "detail": row.detail,
        "remedy": row.remedy,
        "notes": list(row.notes),
        "aws_error_code": row.code,
        "missing_action": row.action,
        "aws_request_id": row.request_id,
    }


def _counts(report: Report) -> dict[str, int]:
    counts = {outcome.value: report.count(outcome) for outcome in Outcome}
    return {name: count for name, count in counts.items() if count}


def _verdict(report: Report) -> str:
    if report.count(Outcome.FAILED):
        stays = "" if report.dry_run else "; what was done stays, and running the command again is safe"
        return f"Something failed{stays}"
    if report.exit_code == 0:
        return "All is as planned" if report.count(*CHANGED) else "All is as planned, and nothing was changed"
    if report.exit_code == 3:
        return "All that could be looked at is as planned"
    return "Not all is as planned; nothing was changed" if report.dry_run else "Not all is as planned"


def _value(row: Row) -> str:
    """The value behind the name, where it is short."""
    if row.outcome in _PLANNED and row.planned is not None and not is_long(row.planned):
        return f": {short(row.planned)}"
    if row.outcome in _UNLIKE and not is_long(row.planned) and not is_long(row.found):
        return f": planned {short(row.planned)}, found {short(row.found)}"
    return ""


def _below(row: Row) -> list[str]:
    lines: list[str] = []
    if row.outcome in _PLANNED and is_long(row.planned):
        lines += planned_lines(row.planned)
    elif row.outcome in _UNLIKE and (is_long(row.planned) or is_long(row.found)):
        lines += ["- found, + planned", *differing(row.found, row.planned)]
    lines += [f"note: {note}" for note in row.notes]
    return [*lines, *filter(None, [row.detail]), *([f"> {row.remedy}"] if row.remedy else [])]
