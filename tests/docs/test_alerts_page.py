"""The page on alerts has each of them, with the numbers of the code, and no other."""

from __future__ import annotations

import re

from server.config import AlertsSection
from server.observability.alerts.kinds import CLEAR_RATE, RAISE_RATE, RATES, STANDING
from tests.docs.walk import ROOT

PAGE = (ROOT / "docs" / "alerts.md").read_text()
NUMBERS, CONDITIONS = PAGE.split("## Conditions that stand")


def percent(rate: tuple[int, int]) -> str:
    return f"{100 * rate[0] // rate[1]} %"


def test_what_raises_and_clears_an_alert_is_as_the_code_has_it() -> None:
    shown = re.findall(r"^\| `([a-z-]+)` \| .* \| (\d+ failures, \d+ %) \| (\d+ successes, \d+ %) \|$", NUMBERS, re.M)
    raised, cleared = percent(RAISE_RATE), percent(CLEAR_RATE)
    assert shown == [
        (kind.value, f"{rates.errors} failures, {raised}", f"{rates.successes} successes, {cleared}")
        for kind, rates in RATES.items()
    ]
    assert f"every {AlertsSection().period_seconds:.0f} seconds (`alerts.period_seconds`)" in NUMBERS


def test_each_alert_has_what_to_do() -> None:
    counted = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \|$", NUMBERS, re.M)
    assert counted == [kind.value for kind in RATES]
    assert re.findall(r"^\| `([a-z-]+)` \|", CONDITIONS, re.M) == list(STANDING)
