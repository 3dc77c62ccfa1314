"""The command `extaudit storage test`."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, Final

import click

from extaudit_cli.colours import Paint, Style
from extaudit_cli.commands import Command
from extaudit_cli.connecting import connected
from extaudit_cli.event_json import jsonable
from extaudit_cli.output import output_option, write_json
from extaudit_cli.storage_stage import stage_option
from extaudit_cli.text import visible

if TYPE_CHECKING:
    from extaudit_client import Client, ConnectionCheck, ConnectionTestEnd

_MARKS: Final[dict[str, tuple[str, str, Style]]] = {
    "passed": ("✓", "ok", "good"),
    "failed": ("✗", "FAILED", "bad"),
    "warning": ("!", "warning", "warning"),
    "not_checked": ("-", "not checked", "quiet"),
}
"""For a terminal, for what can't show it, and how it looks."""
_NAME: Final = 22
_FAILED: Final = 1


@click.command(
    cls=Command,
    epilog="""\b
Examples:
  extaudit storage test
  extaudit storage test --stage cluster
  extaudit storage test --role-arn arn:aws:iam::123456789012:role/audit-new
  extaudit storage test --output jsonl

Each check is shown as it ends; one that fails hides no other, and says which right or setting is missing and what to
do. Nothing is left in the long-term bucket. A test that passes lets the draft be promoted for an hour;
docs/connection-test.md lists the checks. Exit codes: 0 passed, 1 a check failed.""",
)
@stage_option
@click.option("--role-arn", default="", help="Try this role instead of the integration's; a pass counts for it alone.")
@output_option
@connected
def command(client: Client, output: str, stage: str, role_arn: str) -> int:
    """Test whether the service reaches everything in AWS, as it would use it."""
    with closing(client.storages.test(stage, role_arn)) as steps:
        end = _PRINTERS[output](steps)
    return 0 if end is not None and end.test.passed else _FAILED


def _table(steps: Iterator[ConnectionCheck | ConnectionTestEnd]) -> ConnectionTestEnd | None:
    from extaudit_client import ConnectionTestEnd

    paint = Paint.for_stream(sys.stdout)
    marks = _encodable(_MARKS["passed"][0] + _MARKS["failed"][0])
    skipped: list[ConnectionCheck] = []
    for step in steps:
        if skipped and (isinstance(step, ConnectionTestEnd) or _differs(skipped[-1], step)):
            _print_skipped(skipped, paint, marks=marks)
            skipped = []
        if isinstance(step, ConnectionTestEnd):
            _print_end(step, paint)
            return step
        if step.outcome == "not_checked":
            skipped.append(step)
        else:
            _print_check(step, paint, marks=marks)
    return None


def _differs(last: ConnectionCheck, check: ConnectionCheck) -> bool:
    return check.outcome != last.outcome or check.detail != last.detail


def _print_skipped(checks: list[ConnectionCheck], paint: Paint, *, marks: bool) -> None:
    """Checks in a row that were not made for the same reason, which would fill screens one by one."""
    if len(checks) == 1:
        _print_check(checks[0], paint, marks=marks)
        return
    mark, word, style = _MARKS["not_checked"]
    shown = paint(mark if marks else f"{word:<11}", style)
    first, last = (visible(f"{each.name} {each.subject}") for each in (checks[0], checks[-1]))
    paint.echo(f"{shown} {len(checks)} checks were not made, from {first} to {last}")
    paint.echo(f"    {visible(checks[0].detail)}")


def _print_check(check: ConnectionCheck, paint: Paint, *, marks: bool) -> None:
    mark, word, style = _MARKS.get(check.outcome, ("?", check.outcome, "plain"))
    shown = paint(mark if marks else f"{visible(word):<11}", style)
    paint.echo(f"{shown} {visible(check.name):<{_NAME}} {visible(check.subject)}")
    if check.outcome == "passed":
        return
    lines = [check.detail, *_causes(check)]
    if check.remedy:
        lines.append(f"→ {check.remedy}" if marks else f"do: {check.remedy}")
    width = max(get_terminal_size().columns - 4, 40)
    for line in lines:
        for part in textwrap.wrap(visible(line), width, break_long_words=False, break_on_hyphens=False):
            paint.echo(f"    {part}")


def _causes(check: ConnectionCheck) -> Iterator[str]:
    told = {
        "missing right": check.missing_action,
        "setting": check.wrong_setting,
        "AWS says": check.aws_error_code,
        "request id": check.aws_request_id,
    }
    if text := ", ".join(f"{name} {value}" for name, value in told.items() if value):
        yield text


def _print_end(end: ConnectionTestEnd, paint: Paint) -> None:
    counts = f"{end.passed} passed, {end.failed} failed, {end.warnings} warnings, {end.not_checked} not checked"
    word = paint("passed", "good") if end.test.passed else paint("FAILED", "bad")
    paint.echo(f"\nthe connection test {word}: {counts}; role {visible(end.test.role_arn)}")


def _encodable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _json(steps: Iterator[ConnectionCheck | ConnectionTestEnd]) -> ConnectionTestEnd | None:
    from extaudit_client import ConnectionTestEnd

    checks: list[Any] = []
    for step in steps:
        if isinstance(step, ConnectionTestEnd):
            write_json(_record(step) | {"checks": checks})
            return step
        checks.append(_record(step))
    return None


def _jsonl(steps: Iterator[ConnectionCheck | ConnectionTestEnd]) -> ConnectionTestEnd | None:
    from extaudit_client import ConnectionTestEnd

    for step in steps:
        is_end = isinstance(step, ConnectionTestEnd)
        write_json({"kind": "end" if is_end else "check"} | _record(step), indent=None)
        if isinstance(step, ConnectionTestEnd):
            return step
    return None


def _record(step: ConnectionCheck | ConnectionTestEnd) -> dict[str, Any]:
    from extaudit_client import ConnectionCheck

    if not isinstance(step, ConnectionCheck):
        ended: dict[str, Any] = jsonable(asdict(step))
        return ended
    members = {name: getattr(step, name) for name in ConnectionCheck.__slots__} | {"facts": dict(step.facts)}
    record: dict[str, Any] = jsonable(members)
    return record


_Printer = Callable[[Iterator["ConnectionCheck | ConnectionTestEnd"]], "ConnectionTestEnd | None"]
_PRINTERS: Final[dict[str, _Printer]] = {"table": _table, "json": _json, "jsonl": _jsonl}
