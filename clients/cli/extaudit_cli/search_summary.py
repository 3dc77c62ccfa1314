"""What a search's pages say together: how much was read, and what is missing."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from extaudit_cli.text import count_text, visible

if TYPE_CHECKING:
    from extaudit_client import MissingPart, Page, Watermark


@dataclass
class Summary:
    """Pages added up."""

    started: float = field(default_factory=time.monotonic)
    count: int = 0
    complete: bool = True
    missing: list[MissingPart] = field(default_factory=list)
    engines: set[str] = field(default_factory=set)
    engine_reasons: list[str] = field(default_factory=list)
    """Why these engines, each reason once."""
    query_ids: list[str] = field(default_factory=list)
    watermark: Watermark | None = None
    next_page_token: str = ""
    cost: dict[str, int] = field(default_factory=dict)

    def add(self, page: Page) -> None:
        """Add a page."""
        self.count += len(page.rows)
        self.complete &= page.whole
        self.missing += [part for part in page.lasting_gaps if part not in self.missing]
        self.engines |= {page.engine} - {""}
        if page.engine_reason and page.engine_reason not in self.engine_reasons:
            self.engine_reasons.append(page.engine_reason)
        self.query_ids.append(page.query_id)
        self.watermark = page.watermark
        self.next_page_token = page.next_page_token
        for name, value in asdict(page.cost).items():
            self.cost[name] = self.cost.get(name, 0) + value

    def lines(self) -> list[str]:
        """Tell it to a person."""
        took = (time.monotonic() - self.started) * 1000
        engine = visible("+".join(sorted(self.engines))) or "no engine"
        rows = count_text(self.count, "row")
        lines = [f"{rows} from {engine} in {took:.0f} ms, {'complete' if self.complete else 'INCOMPLETE'}"]
        if queries := self.cost.get("athena_queries"):
            lines.append(f"Athena read {self.cost['athena_bytes']} bytes in {count_text(queries, 'query', 'queries')}")
        lines += [visible(reason) for reason in self.engine_reasons if "athena" in reason]
        if self.next_page_token:
            lines.append(f"more: --all, or --page-token {visible(self.next_page_token)}")
        return lines

    def warnings(self) -> list[str]:
        """Tell what is missing; empty when nothing is."""
        if self.complete:
            return []
        parts = [describe(part) for part in self.missing] or ["the service didn't say what is missing"]
        return [f"INCOMPLETE: {part}" for part in parts]

    def document(self) -> dict[str, Any]:
        """Give it as what `json` can write, but for the rows."""
        return {
            "count": self.count,
            "complete": self.complete,
            "missing": [asdict(part) for part in self.missing],
            "engine": "+".join(sorted(self.engines)),
            "engine_reasons": self.engine_reasons,
            "cost": self.cost,
            "watermark": asdict(self.watermark) if self.watermark else None,
            "next_page_token": self.next_page_token,
            "query_ids": self.query_ids,
        }


def describe(part: MissingPart) -> str:
    """Tell of a part that is missing, in one line."""
    place = " ".join(text for text in (part.storage, part.name) if text)
    span = f" {part.first_sequence}-{part.last_sequence}" if part.last_sequence else ""
    return visible(f"{part.description or part.reason} [{part.reason}] {place}{span}".rstrip())
