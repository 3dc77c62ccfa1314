"""What `extaudit doctor` found, for people and as evidence."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from extaudit_cli.colours import Paint, Style
from extaudit_cli.output import write_json
from extaudit_cli.text import count_text, visible
from extaudit_cli.times import time_text
from extaudit_cli.transfers import size_text

if TYPE_CHECKING:
    from server.doctor.findings import Finding
    from server.doctor.report import Examination

FORMAT = 1
_STYLES: Final[dict[str, Style]] = {
    "ok": "good",
    "notice": "plain",
    "warning": "warning",
    "error": "bad",
    "skipped": "quiet",
}
"""By a check's result or a fault's severity."""


@dataclass(frozen=True, slots=True)
class Header:
    """When, where and of what."""

    version: str
    time: datetime
    host: str
    data_dir: Path | None
    """None where only a service was asked."""
    address: str
    """Of the service that was asked; '' where none was."""
    deep: bool

    @classmethod
    def now(cls, *, data_dir: Path | None, address: str, deep: bool) -> Header:
        """Of this moment and machine."""
        folder = data_dir.absolute() if data_dir is not None else None
        return cls(version("extaudit"), datetime.now(UTC), socket.gethostname(), folder, address, deep)


def print_report(header: Header, found: Sequence[Examination], output: str) -> None:
    """Print what was found in one of the three forms."""
    if output == "table":
        paint = Paint.for_stream(sys.stdout)
        paint.echo("\n".join(lines_of(header, found, paint)))
        return
    head = _head(header, found)
    checks = [_check(each) for each in found]
    if output == "json":
        write_json(head | {"checks": checks})
        return
    write_json({"kind": "header"} | head, indent=None)
    for check in checks:
        write_json({"kind": "check"} | check, indent=None)


def _head(header: Header, found: Sequence[Examination]) -> dict[str, Any]:
    from server.doctor.findings import Severity
    from server.doctor.report import count

    return {
        "format": FORMAT,
        "version": header.version,
        "time": time_text(header.time),
        "host": header.host,
        "data_dir": str(header.data_dir or ""),
        "address": header.address,
        "deep": header.deep,
        "errors": count(found, Severity.ERROR),
        "warnings": count(found, Severity.WARNING),
        "notices": count(found, Severity.NOTICE),
        "skipped": {each.check: each.skipped for each in found if each.skipped},
    }


def _check(each: Examination) -> dict[str, Any]:
    return {
        "check": each.check,
        "result": each.result,
        "seconds": round(each.seconds, 3),
        "skipped": each.skipped,
        "facts": each.facts,
        "findings": [_finding(finding) for finding in each.findings],
        "untold": each.untold,
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "name": finding.fault.name,
        "severity": finding.fault.severity.value,
        "subject": finding.subject,
        "what": finding.fault.what,
        "detail": finding.detail,
        "remedy": finding.remedy,
    }


def lines_of(header: Header, found: Sequence[Examination], paint: Paint) -> list[str]:
    """One line a check; below it each fault once, with what it is wrong with and what to do."""
    width = max((len(each.check) for each in found), default=0)
    lines = []
    for each in found:
        facts = ", ".join(_fact(name, value) for name, value in each.facts.items())
        result = paint(f"{each.result.upper():<8}", _STYLES[each.result])
        lines.append(f"{result} {visible(f'{each.check:<{width}}  {facts}').rstrip()}")
        if each.skipped:
            lines.append(visible(f"         not looked at: {each.skipped}"))
        for name in dict.fromkeys(finding.fault.name for finding in each.findings):
            lines += _fault_lines(each, name, paint)
    head = _head(header, found)
    of = " and ".join(str(each) for each in (header.data_dir, header.address) if each)
    counts = ", ".join(count_text(head[f"{name}s"], name) for name in ("error", "warning", "notice"))
    return [*lines, "", visible(f"{counts}; {of} on {header.host}")]


def _fact(name: str, value: str | int | float) -> str:
    if not isinstance(value, int):
        return f"{name} {value}"
    if "bytes" not in name:
        return f"{name} {value:,}"
    return f"{name.replace('bytes', '').strip() or 'size'} {size_text(value)}"


def _fault_lines(each: Examination, name: str, paint: Paint) -> list[str]:
    findings = [finding for finding in each.findings if finding.fault.name == name]
    fault = findings[0].fault
    lines: list[str] = []
    remedies = dict.fromkeys(finding.remedy for finding in findings)
    for remedy in remedies:
        of_it = [finding for finding in findings if finding.remedy == remedy]
        lines += [f"    - {finding.subject}{f': {finding.detail}' if finding.detail else ''}" for finding in of_it]
        if name in each.untold and remedy == list(remedies)[-1]:
            lines.append(f"    - and {each.untold[name]:,} more")
        lines.append(f"    > {remedy}")
    severity = paint(fault.severity.value, _STYLES[fault.severity.value])
    return [f"  {severity} {visible(f'{name}: {fault.what}')}", *(visible(line) for line in lines)]
