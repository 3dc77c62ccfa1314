"""`extaudit serve --check` and `--print-config`: what they print."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from extaudit_cli.output import print_table, write_json
from extaudit_cli.text import count_text, visible

WRONG = 2
"""The exit code of `serve` with a wrong configuration."""


def check_start(flags: Mapping[str, object], output: str) -> int:
    """Print what a start would refuse, one line a problem, or what it would serve; 2 where it would be refused."""
    from server.start_check import check

    checked = check(flags, os.environ, datetime.now(UTC))
    if output == "json":
        write_json({"problems": list(checked.problems), "summary": checked.summary})
    elif output == "jsonl":
        for problem in checked.problems:
            write_json({"problem": problem}, indent=None)
    else:
        _print_problems(checked.problems)
        if not checked.problems:
            click.echo("\n".join(_summary(checked.summary)))
    return WRONG if checked.problems else 0


def print_configuration(flags: Mapping[str, object], output: str) -> int:
    """Print every setting in effect, with its value and where that came from; 2 where the configuration is wrong."""
    from server.config.loading import read_sources
    from server.config.shown import shown_settings

    read = read_sources(flags, os.environ)
    if read.problems:
        _print_problems(read.problems)
        return WRONG
    shown = [asdict(each) for each in shown_settings(read)]
    if output == "json":
        write_json(shown)
    elif output == "jsonl":
        for each in shown:
            write_json(each, indent=None)
    else:
        rows = [(each["name"], _text(each["value"], each["stands_for"]), each["origin"]) for each in shown]
        print_table(("SETTING", "VALUE", "FROM"), rows)
    return 0


def _print_problems(problems: tuple[str, ...]) -> None:
    for problem in problems:
        click.echo(f"extaudit: {visible(problem)}", err=True)


def _summary(summary: Mapping[str, Any]) -> list[str]:
    made = "" if summary["data_dir_exists"] else ", which isn't there yet and would be made"
    tokens = summary["grpc_token"]
    lines = [
        "nothing is wrong; extaudit serve would",
        f"  serve gRPC on {summary['grpc']} (mTLS) and operations on {summary['http']}",
        *([f"  take tokens on {tokens} of {', '.join(summary['token_issuers'])}"] if tokens else []),
        *_issuer(summary),
        f"  trust {summary['trusts']} for callers of cluster {summary['cluster_name']}",
        f"  load {count_text(summary['role_files'], 'file')} of roles beside the presets",
        f"  keep its data in {summary['data_dir']}{made}",
        f"  have the configuration {summary['configuration_digest']}",
    ]
    return [visible(line) for line in lines]


def _issuer(summary: Mapping[str, Any]) -> list[str]:
    if not summary["issuer"]:
        return []
    where = f"on {summary['http_public']}" if summary["http_public"] else "nowhere itself: others must"
    return [f"  issue tokens as {summary['issuer']}, and publish its documents {where}"]


def _text(value: object, stands_for: str) -> str:
    if value is None or value == []:
        return f"({stands_for})"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
