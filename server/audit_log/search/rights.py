"""What a caller's rights ask of events, as part of a search's filters."""

from __future__ import annotations

from dataclasses import replace

from rbac import formulas
from rbac.formulas import ALWAYS, Formula
from server.audit_log.access import Access
from server.audit_log.search.query import SearchQuery
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, ValueTest


def restricted(query: SearchQuery, access: Access) -> SearchQuery:
    """The query, finding only events that the caller's rights as of now admit, whatever page of it this is."""
    condition = condition_of(access)
    if condition is query.filters.condition:
        return query
    return replace(query, filters=replace(query.filters, condition=condition))


def condition_of(access: Access) -> RowCondition | None:
    """What an event must be like for the caller to see it; None where every event may be seen."""
    return None if access.condition == ALWAYS else _row_condition(access.condition)


def _row_condition(formula: Formula) -> RowCondition:
    match formula:
        case formulas.Test(path=path, operator=operator, values=values, holds=holds):
            return ValueTest(path, Operator(operator.value), values, holds)
        case formulas.AllOf(parts=parts):
            return AllOf(tuple(map(_row_condition, parts)))
        case formulas.AnyOf(parts=parts):
            return AnyOf(tuple(map(_row_condition, parts)))
