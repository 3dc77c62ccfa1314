"""Keeps integrations in memory, and what a test says of their use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from server.state.integrations import ClusterUse, Event, Found, IntegrationRow, RoleChange

ISSUER = "https://audit.example.com"


@dataclass
class MemoryIntegrations:
    """As SqlIntegrations, with the uses that a test sets."""

    rows: dict[str, IntegrationRow] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    changes: list[RoleChange] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Names of the methods that were called."""
    draft: bool = False
    cluster: ClusterUse | None = None
    storages: frozenset[str] = frozenset()
    uploading: frozenset[str] = frozenset()
    undelivered: frozenset[str] = frozenset({"default"})

    def add(self, row: IntegrationRow, event: Event) -> bool:
        self.asked.append("add")
        if row.name in self.rows:
            return False
        self.rows[row.name] = row
        self.events.append(event)
        return True

    def get(self, name: str) -> IntegrationRow | None:
        self.asked.append("get")
        return self.rows.get(name)

    def page(self, after: str, limit: int) -> tuple[list[IntegrationRow], int]:
        self.asked.append("page")
        return [row for name, row in sorted(self.rows.items()) if name > after][:limit], len(self.rows)

    def change(
        self, name: str, role_arn: str, _now_ms: int, decide: Callable[[Found | None], RoleChange | None]
    ) -> IntegrationRow | None:
        self.asked.append("change")
        change = decide(self._found(name))
        row = self.rows.get(name)
        if row is None or change is None:
            return row
        self.changes.append(change)
        self.events.append(change.event)
        self.rows[name] = row._replace(role_arn=role_arn, revision=change.revision, updated_ms=change.changed_ms)
        return self.rows[name]

    def remove(self, name: str, decide: Callable[[Found | None], Event]) -> None:
        self.asked.append("remove")
        self.events.append(decide(self._found(name)))
        del self.rows[name]

    def _found(self, name: str) -> Found | None:
        row = self.rows.get(name)
        return row and Found(row, self.draft, self.cluster, self.storages, self.uploading)
