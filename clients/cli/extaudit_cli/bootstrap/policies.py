"""Policies of AWS: whether the statements of a plan are in one, and how they get in without touching others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

Statement = dict[str, Any]
_LISTS: Final = ("Action", "NotAction", "Resource", "NotResource")


def statements(policy: str) -> list[Statement]:
    """The statements of a policy.

    Raises:
        ValueError: it is no policy.
    """
    document = json.loads(policy)
    found = document.get("Statement") if isinstance(document, dict) else None
    found = [found] if isinstance(found, dict) else found
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ValueError("no policy")
    return found


def lacking(planned: Sequence[Statement], found: Sequence[Statement]) -> list[Statement]:
    """Statements that are planned and not there in the same meaning."""
    there = [meaning(each) for each in found]
    return [each for each in planned if meaning(each) not in there]


def others(planned: Sequence[Statement], found: Sequence[Statement]) -> list[Statement]:
    """Statements that are there and not planned, but for those in whose place one that is lacking comes."""
    meanings, replaced = [meaning(each) for each in planned], counterparts(planned, found)
    return [each for each in found if meaning(each) not in meanings and each not in replaced]


def counterparts(planned: Sequence[Statement], found: Sequence[Statement]) -> list[Statement]:
    """Statements that are there under the ids of those that are lacking."""
    sids = {each.get("Sid") for each in lacking(planned, found)} - {None}
    return [each for each in found if each.get("Sid") in sids]


def merged(planned: Sequence[Statement], policy: str) -> str:
    """A policy with all that is planned and, after it, the others of the policy that is there, '' for none; JSON.

    Its version and id stay as they are: in another version the others might mean something else.
    """
    document = json.loads(policy) if policy else {"Version": "2012-10-17"}
    kept = others(planned, statements(policy)) if policy else []
    taken = {each.get("Sid") for each in kept}
    # No two may have one id, and theirs is what somebody may look for.
    ours = [each if each.get("Sid") not in taken else _without_id(each) for each in planned]
    return json.dumps(document | {"Statement": [*ours, *kept]})


def meaning(statement: Statement) -> Statement:
    """A statement without its id and without what makes no difference: order, and lists of one."""
    plain = _without_id(statement)
    for key in _LISTS:
        if key in plain:
            plain[key] = _list(plain[key])
    for key in ("Principal", "NotPrincipal"):
        if key in plain:
            plain[key] = _principal(plain[key])
    conditions = plain.pop("Condition", {})
    plain["Condition"] = {
        operator: {key.lower(): _list(value) for key, value in keys.items()} for operator, keys in conditions.items()
    }
    return plain


def _without_id(statement: Statement) -> Statement:
    return {key: value for key, value in statement.items() if key != "Sid"}


def _principal(principal: Any) -> dict[str, list[str]]:
    if principal == "*":
        return {"AWS": ["*"]}
    return {kind: _list(value) for kind, value in principal.items()}


def _list(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return sorted({str(each).lower() if isinstance(each, bool) else str(each) for each in values})
