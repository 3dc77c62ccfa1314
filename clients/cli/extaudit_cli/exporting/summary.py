"""What an export tells at its end."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import click

from extaudit_cli.exporting.destination import Destination
from extaudit_cli.exporting.progress import Progress
from extaudit_cli.exporting.resumption import Outcome
from extaudit_cli.table import table_lines
from extaudit_cli.text import count_text, visible


@dataclass(frozen=True)
class Summary:
    """One run's end. Where the events go to stdout, it goes to stderr."""

    outcome: Outcome
    progress: Progress
    destination: Destination

    def tell(self, output: str) -> None:
        """Print it in one of the three forms of output."""
        err = self.destination.layout == "stdout"
        if output == "table":
            for line in self._lines():
                click.echo(line, err=err)
        else:
            click.echo(json.dumps(self.document(), indent=2 if output == "json" else None), err=err)

    def document(self) -> dict[str, Any]:
        """What can be written as JSON."""
        state = self.outcome.state
        return {
            "events": self.progress.events,
            "json_bytes": self.progress.json_bytes,
            "all_events": state.events,
            "files": state.files,
            "complete": state.finished and not state.gaps,
            "complete_through": dict(state.place),
            "missing": [asdict(part) for part in state.gaps],
            "foreign_objects": state.foreign_objects,
            "out": str(self.destination.path),
            "state": str(self.destination.state) if self.destination.state else None,
            "interrupted": self.outcome.interrupted,
        }

    def _lines(self) -> list[str]:
        state = self.outcome.state
        new = "new " if self.outcome.continued else ""
        target = "stdout" if self.destination.layout == "stdout" else visible(str(self.destination.path))
        lines = [f"{self.progress.line(new)} to {target}"]
        if self.outcome.continued:
            lines.append(f"with those of earlier runs {count_text(state.events, 'event')}")
        if self.outcome.interrupted:
            kept = "the same command goes on from here" if self.destination.state else "no state is kept of it"
            return [*lines, f"stopped; {kept}"]
        if state.foreign_objects:
            lines.append(
                f"{count_text(state.foreign_objects, 'foreign object')} not exported; searches find their events"
            )
        if state.gaps:
            lines.append(f"INCOMPLETE: {count_text(len(state.gaps), 'part')} missing, named above and in the state")
        rows = [[log_id, str(sequence)] for log_id, sequence in sorted(state.place.items())]
        return [*lines, *(table_lines(("LOG", "COMPLETE THROUGH"), rows) if rows else [])]
