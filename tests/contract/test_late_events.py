"""Events of a time before another storage was active, received while it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.audit_log.search.query import SearchQuery
from server.storage.query import Filters
from server.storage.value_tests import Operator, ValueTest
from tests.contract.search_rig import NOON, SearchRig, duck_engine, event_json
from tests.contract.test_several_storages import HOUR, OTHER, deliver, switch_to


@pytest.mark.parametrize("delivered", [False, True])
def test_a_period_in_which_events_of_the_range_came_late_is_named_too(tmp_path: Path, delivered: bool) -> None:
    """Whom roles show some events only is told of every later period: which times there are is not for them."""
    rig = SearchRig(tmp_path, duck_engine(tmp_path), others=(OTHER,))
    switch_to(rig, OTHER, NOON)
    rig.emit(event_json("late", NOON - 5 * HOUR))
    switch_to(rig, "default", NOON + HOUR)
    if delivered:
        deliver(rig, OTHER)
    some = ValueTest(("uid",), Operator.ONE_OF, ("x",), holds=True)
    for filters, named in {
        Filters(NOON - 6 * HOUR, NOON - 4 * HOUR): [OTHER],
        Filters(NOON - 4 * HOUR, NOON - 3 * HOUR): [],
        Filters(NOON - 4 * HOUR, NOON - 3 * HOUR, condition=some): [OTHER],
        Filters(NOON + 2 * HOUR, condition=some): [],
    }.items():
        assert [item.storage for item in rig.page(SearchQuery(filters)).missing] == named, filters
    rig.close()
