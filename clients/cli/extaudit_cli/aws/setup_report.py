"""What a set-up found and did, for people and as JSON."""

from __future__ import annotations

import difflib
import json
import sys
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final

from extaudit_cli.aws.admin import Account
from extaudit_cli.aws.setup_rows import AS_PLANNED, Outcome, Row
from extaudit_cli.aws.trust import Trust
from extaudit_cli.colours import Paint, Style
from extaudit_cli.output import write_json
from extaudit_cli.text import visible

_INDENT: Final = " " * 14
_STYLES: Final[dict[Outcome, Style]] = {
    Outcome.EQUAL: "quiet",
    Outcome.CREATED: "good",
    Outcome.SET: "good",
    Outcome.UPDATED: "good",
    Outcome.DIFFERS: "warning",
}
_SHOWN: Final = frozenset(Outcome) - {Outcome.EQUAL, Outcome.CREATED, Outcome.WOULD_CREATE}
"""Outcomes of which both values are shown."""


@dataclass(slots=True)
class SetupReport:
    """Tells people of each part as it is done; JSON comes at the end, also where it ends early."""

    trust: Trust
    account: Account
    dry_run: bool
    output: str
    rows: list[Row] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 where all is as planned."""
        return 0 if all(row.outcome in AS_PLANNED for row in self.rows) else 1

    def __enter__(self) -> SetupReport:
        if self.output == "table":
            role = self.trust.role
            text = f"Integration {self.trust.integration}: account {role.account_id}, as {self.account.arn}"
            self._echo(text, "heading")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.output == "table":
            if kind is None:
                self._echo(f"\n{self._verdict()}", "good" if self.exit_code == 0 else "warning")
        elif self.output == "json":
            write_json(self._head(kind is None) | {"rows": [_record(row) for row in self.rows]})
        else:
            for row in self.rows:
                write_json({"kind": "row"} | _record(row), indent=None)
            write_json({"kind": "end"} | self._head(kind is None), indent=None)

    def add(self, row: Row) -> None:
        """Take a part that is done."""
        self.rows.append(row)
        if self.output == "table":
            subject = "" if "." in row.name else f"  {row.subject}"
            paint = Paint.for_stream(sys.stdout)
            head = paint(f"{row.outcome.value:<{len(_INDENT)}}", _STYLES.get(row.outcome, "plain"))
            lines = [head + visible(row.name + subject), *(_INDENT + visible(line) for line in _below(row))]
            paint.echo("\n".join(lines))

    def _echo(self, text: str, style: Style) -> None:
        paint = Paint.for_stream(sys.stdout)
        paint.echo(paint(visible(text) if "\n" not in text else text, style))

    def _head(self, ended: bool) -> dict[str, Any]:
        return {
            "integration": self.trust.integration,
            "account_id": self.trust.role.account_id,
            "caller": self.account.arn,
            "dry_run": self.dry_run,
            "as_planned": ended and self.exit_code == 0,
        }

    def _verdict(self) -> str:
        if self.exit_code == 0:
            changed = any(row.outcome not in (Outcome.EQUAL, Outcome.BESIDE) for row in self.rows)
            return "All is as planned." if changed else "All is as planned, and nothing was changed."
        return "Not all is as planned; nothing was changed." if self.dry_run else "Not all is as planned."


def _record(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "subject": row.subject,
        "outcome": row.outcome.value,
        "planned": row.planned,
        "found": row.found,
        "remedy": row.remedy,
    }


def _below(row: Row) -> list[str]:
    """What stands below a part: both values where they differ, what is planned where it is new."""
    if row.outcome in _SHOWN:
        return [
            "- found, + planned",
            *_difference(row.found, row.planned),
            *([f"> {row.remedy}"] if row.remedy else []),
        ]
    if row.outcome in (Outcome.CREATED, Outcome.WOULD_CREATE):
        return _text(row.planned)
    return []


def _difference(found: Any, planned: Any) -> list[str]:
    lines = difflib.unified_diff(_text(found), _text(planned), n=99, lineterm="")
    return list(lines)[3:]


def _text(value: Any) -> list[str]:
    return json.dumps(value, indent=2, ensure_ascii=False).split("\n")
