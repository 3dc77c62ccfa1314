"""What a policy document says about one action on one resource by one caller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.sandbox.callers import Document
from tests.sandbox.conditions import Context, conditions_hold, pattern_matches

UNKNOWN = "*"
"""A resource that can't be named: allowed where any resource is, denied where every resource is."""


@dataclass(frozen=True)
class Permission:
    """One action on one resource, as policies name them."""

    action: str
    resource: str = UNKNOWN


@dataclass(frozen=True)
class Question:
    """May the caller do this? `principals` and `federated` are its names where a policy names some."""

    permission: Permission
    context: Context
    principals: tuple[str, ...] = ()
    federated: str = ""


def allowed(documents: Iterable[Document], question: Question) -> bool:
    """Whether a statement allows it. What is denied is another question."""
    return any(_applies(statement, "Allow", question) for statement in _statements(documents))


def denied(documents: Iterable[Document], question: Question) -> bool:
    """Whether a statement denies it."""
    return any(_applies(statement, "Deny", question) for statement in _statements(documents))


def _statements(documents: Iterable[Document]) -> Iterable[dict[str, Any]]:
    for document in documents:
        statements = document.get("Statement", [])
        yield from [statements] if isinstance(statements, dict) else statements


def _applies(statement: dict[str, Any], effect: str, question: Question) -> bool:
    return (
        statement.get("Effect") == effect
        and _names_action(statement, question.permission.action)
        and _names_resource(statement, question.permission.resource, effect)
        and _names_principal(statement, question)
        and conditions_hold(statement.get("Condition", {}), question.context)
    )


def _names_action(statement: dict[str, Any], action: str) -> bool:
    if "NotAction" in statement:
        return not any(pattern_matches(each, action, ignoring_case=True) for each in _list(statement["NotAction"]))
    return any(pattern_matches(each, action, ignoring_case=True) for each in _list(statement.get("Action", [])))


def _names_resource(statement: dict[str, Any], resource: str, effect: str) -> bool:
    if "Resource" not in statement and "NotResource" not in statement:
        return True  # a trust policy is about its role
    if resource == UNKNOWN and effect == "Allow":
        return True
    if "NotResource" in statement:
        return not any(pattern_matches(each, resource) for each in _list(statement["NotResource"]))
    return any(pattern_matches(each, resource) for each in _list(statement["Resource"]))


def _names_principal(statement: dict[str, Any], question: Question) -> bool:
    if "NotPrincipal" in statement:
        return not _is_one_of(statement["NotPrincipal"], question)
    return "Principal" not in statement or _is_one_of(statement["Principal"], question)


def _is_one_of(principal: Any, question: Question) -> bool:
    if principal == "*":
        return not question.federated
    if question.federated:
        return question.federated in _list(principal.get("Federated", []))
    return any(each == "*" or each in question.principals for each in _list(principal.get("AWS", [])))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
