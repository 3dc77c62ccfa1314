"""The rules of all roles as a Casbin policy: one row per rule, decided by model.conf."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import casbin
from casbin.util.log import disabled_logging

from rbac.roles import WILDCARD, Role

MODEL: Final = Path(__file__).with_name("model.conf")

ALLOW: Final = "allow"
DENY: Final = "deny"

Assumed = frozenset[tuple[str, str]]
"""Conditions taken to be true: effect of the rule, and text."""

WRITTEN_OUT: Final = frozenset({("event", "create"), ("session", "create")})
"""What a user may do only by a rule that names both kind and verb: `*` would let every administrator forge records."""


class CasbinPolicy:
    """Asks Casbin. Not safe for more than one thread at a time, and slow: microseconds times the number of rules.

    It is given only the rules of the asked roles that name the kind or `*`: others can't match, and who may ask about
    any roles could hold the service up with them.
    """

    def __init__(self, roles: Iterable[Role]) -> None:
        disabled_logging()
        self._rows: dict[tuple[str, str], list[_Row]] = {}
        for row in _rows_of(roles):
            for kind in row[1]:
                self._rows.setdefault((row[0], kind), []).append(row)
        self._enforcer = casbin.Enforcer(str(MODEL), _NoRows())
        # Its own logger writes every question, and configuring logging anew would wake it: no one can reach this one.
        self._enforcer.logger = logging.Logger("silent", level=logging.CRITICAL + 1)  # noqa: LOG001
        self._enforcer.add_function("carries", _carries)
        self._enforcer.add_function("covers", _covers)
        self._enforcer.add_function("applies", _applies)

    def enforce(
        self, roles: frozenset[str], is_user: bool, kind: str, verb: str, assumed: Assumed = frozenset()
    ) -> bool:
        """Decide one verb on one kind for a caller with these roles, if just these conditions are true."""
        if WILDCARD in (kind, verb):
            return False  # not a question: a narrower deny rule would not be heard
        asked = [row for role in roles for named in (kind, WILDCARD) for row in self._rows.get((role, named), ())]
        if not asked:
            return False
        # Put in all at once; adding them singly compares each with all before it.
        self._enforcer.get_model()["p"]["p"].policy = asked
        wildcards = not (is_user and (kind, verb) in WRITTEN_OUT)
        return self._enforcer.enforce(roles, wildcards, kind, verb, assumed) is True


class _NoRows(casbin.persist.Adapter):  # type: ignore[misc]  # Casbin has no types
    """Casbin asks for all rows at once, and gets none: it is given those that matter with each question."""

    def load_policy(self, model: Any) -> None:
        """Nothing."""


_Row = list[Any]
"""Role, kinds, verbs, condition ('' without one), effect. Kinds and verbs are sets: no name needs a separator."""


def _rows_of(roles: Iterable[Role]) -> Iterator[_Row]:
    for role in roles:
        for effect, rules in ((DENY, role.deny), (ALLOW, role.allow)):
            for rule in rules:
                yield [role.name, rule.kinds, rule.verbs, rule.where.text if rule.where else "", effect]


def _carries(roles: frozenset[str], role: str) -> bool:
    return role in roles


def _covers(names: frozenset[str], name: str, wildcards: bool) -> bool:
    return name in names or (wildcards and WILDCARD in names)


def _applies(condition: str, effect: str, assumed: Assumed) -> bool:
    return not condition or (effect, condition) in assumed
