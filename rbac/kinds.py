"""The kinds of things that this service decides about, and what the objects of each are called in conditions."""

from __future__ import annotations

from typing import Final

from rbac.conditions import Root

KINDS: Final = frozenset({"event", "session", "integration", "external_audit_storage", "role", "lock", "cluster_alert"})
"""Kinds that some call of this service needs a right on. Roles may have rules for others; no one ever asks them."""

_OTHER_VERBS: Final = frozenset({"readnosecrets", "rotate", "use", "enroll", "create_enroll_token"})
VERBS: Final = frozenset({"list", "create", "read", "update", "delete", *_OTHER_VERBS})
"""Verbs that Teleport's roles have. No call of this service needs a right to the others."""

RECORDED: Final = frozenset({"event", "session"})
"""Kinds whose objects come in by calls with the verb `create`, which is decided before there is an object."""


def root_of(kind: str) -> Root:
    """What conditions call an object of this kind."""
    return {"event": Root.EVENT, "session": Root.SESSION}.get(kind, Root.RESOURCE)
