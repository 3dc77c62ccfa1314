"""The options that say which events, alike in every command that reads events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.fields import FieldValue, parse_field, parse_field_json
from extaudit_cli.suggestions import event_types
from extaudit_cli.times import Time, in_order

if TYPE_CHECKING:
    from extaudit_client import Query

Field = tuple[tuple[str, ...], FieldValue]


def _each(parse: Callable[[str], Field]) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], list[Field]]:
    def convert(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[Field]:
        try:
            return [parse(value) for value in values]
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


_OPTIONS = [
    click.option(
        "--type", "types", multiple=True, shell_complete=event_types, help="Event type; again for more, any of them."
    ),
    click.option("--user", "users", multiple=True, help="User; again for more, any of them."),
    click.option("--session", "session_id", default="", help="Session id."),
    click.option("--uid", "uids", multiple=True, help="Event uid; again for more, any of them."),
    click.option("--text", default="", help="Text in the stored JSON; A-Z and a-z are alike."),
    click.option(
        "--field", "fields", multiple=True, metavar="PATH=JSON", callback=_each(parse_field), help="Value at a path."
    ),
    click.option(
        "--field-json",
        "fields_json",
        multiple=True,
        metavar="JSON",
        callback=_each(parse_field_json),
        help="The same for keys with dots: [[KEY, ...], VALUE].",
    ),
    click.option("--emitter", "emitters", multiple=True, help="Name of who emitted it; again for more, any of them."),
    click.option(
        "--emitter-kind",
        "emitter_kinds",
        multiple=True,
        type=click.Choice(["component", "user", "service"]),
        help="What emitted it; service is this one itself. Again for more, any of them.",
    ),
]


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; `query_from` takes their values."""
    return filter_options_with(Time())(command)


def filter_options_with(time: click.ParamType[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give what adds the options, with times of that type."""
    times = [
        click.option(
            "--from",
            "from_time",
            type=time,
            callback=in_order,
            help="From this time on: -1h, today, 2026-11-01, RFC 3339.",
        ),
        click.option("--to", "to_time", type=time, callback=in_order, help="Before this time."),
    ]

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(times + _OPTIONS):
            command = option(command)
        return command

    return add


def query_from(*, fields: list[Field], fields_json: list[Field], **filters: Any) -> Query:
    """Give the query that the options ask for, and whatever else of a query is given."""
    from extaudit_client import FieldEquality, Query

    return Query(fields=tuple(FieldEquality(path, value) for path, value in fields + fields_json), **filters)
