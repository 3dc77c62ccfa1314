"""What an export asks for: kept with its state, so that one state never answers two questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from extaudit_cli.event_json import jsonable
from extaudit_cli.exporting.forms import Form
from extaudit_cli.exporting.state import StateProblem
from extaudit_cli.times import Time

if TYPE_CHECKING:
    from extaudit_client import Query


@dataclass(frozen=True, slots=True)
class SaidTime:
    """A time as it was given, and what it means now: `-1h` means another time on every run."""

    text: str
    time: datetime


class SaidTimeType(click.ParamType[SaidTime]):
    """An option's value that is a time, with the text it was given as."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> SaidTime:
        """Read the value, or fail as wrong usage."""
        return value if isinstance(value, SaidTime) else SaidTime(str(value), Time().convert(value, param, ctx))


@dataclass(frozen=True, slots=True)
class Question:
    """A query without its times, the times as they were given, the form of the output and its layout."""

    query: Query
    from_time: SaidTime | None
    to_time: SaidTime | None
    form: Form
    layout: str

    def document(self) -> dict[str, Any]:
        """What is kept: equal for equal questions, but for what relative times mean."""
        query = asdict(self.query)
        filters = {name: query[name] for name in _FILTERS if query[name]}
        return {
            **jsonable(filters),
            "storage": self.query.storage,
            **asdict(self.form),
            "layout": self.layout,
            "from": _written(self.from_time),
            "to": _written(self.to_time),
        }

    def resolved(self, kept: Mapping[str, Any] | None) -> Query:
        """The query to ask: with the times that the kept question had when it was first asked.

        Raises:
            StateProblem: what is kept is another question.
        """
        if kept is None:
            return self._with(self.from_time, self.to_time)
        asked = self.document()
        other = sorted(name for name in {*asked, *kept} if _said(asked.get(name)) != _said(kept.get(name)))
        if other:
            options = ", ".join(_OPTIONS.get(name, f"--{name}") for name in other)
            raise StateProblem(
                f"the state is of an export with other {options}: give the same, or another --out and --state"
            )
        return self._with(_read(kept["from"]), _read(kept["to"]))

    def _with(self, from_time: SaidTime | None, to_time: SaidTime | None) -> Query:
        return replace(
            self.query,
            from_time=from_time.time if from_time else None,
            to_time=to_time.time if to_time else None,
        )


_OPTIONS = {
    "types": "--type",
    "users": "--user",
    "session_id": "--session",
    "uids": "--uid",
    "fields": "--field",
    "emitters": "--emitter",
    "emitter_kinds": "--emitter-kind",
    "layout": "--out",
}
_FILTERS = ("types", "users", "session_id", "uids", "text", "fields", "emitters", "emitter_kinds")


def _written(said: SaidTime | None) -> dict[str, str] | None:
    return {"text": said.text, "time": said.time.isoformat()} if said else None


def _read(written: Mapping[str, str] | None) -> SaidTime | None:
    return SaidTime(written["text"], datetime.fromisoformat(written["time"])) if written else None


def _said(value: Any) -> Any:
    return value["text"] if isinstance(value, dict) and "text" in value else value
