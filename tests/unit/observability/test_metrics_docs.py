"""The page of metrics and the alert rules name what is exposed, and the other way round."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.audit_log.search.query import MissingReason
from server.observability.instruments import Description
from server.observability.metrics import Metrics
from server.observability.search_metrics import REASONS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "metrics.md"
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
UNITS = ("_total", "_seconds", "_bytes", "_info")
COUNTS = ("_events", "_objects", "_uploads", "_keys", "_findings", "_sequence", "_waiting", "_under_way", "_in_flight")
OTHERS = ("extaudit_serving", "extaudit_problem", "extaudit_alert")


def documented() -> set[str]:
    return set(re.findall(r"^\| `(extaudit_\w+)` \|", PAGE.read_text(), re.M))


def exposed(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (extaudit_\w+)", text, re.M))


def test_the_page_is_fresh() -> None:
    command = [sys.executable, "-m", "tools.generate_metrics_docs", "--check"]
    assert subprocess.run(command, cwd=ROOT, timeout=240).returncode == 0


def test_every_metric_is_documented_and_every_documented_one_is_exposed() -> None:
    assert documented() == exposed(Metrics(()).render().decode())


def test_the_librarys_metrics_that_the_page_names_are_exposed() -> None:
    text = Metrics(()).render().decode()
    for name in re.findall(r"`((?:process|python)_\w+)`", PAGE.read_text()):
        assert f"# TYPE {name} " in text


@pytest.mark.parametrize("described", Metrics(()).descriptions, ids=lambda each: each.name)
def test_names_follow_the_conventions(described: Description) -> None:
    assert (described.kind == "counter") == described.name.endswith("_total")
    assert described.name.endswith((*UNITS, *COUNTS)) or described.name in OTHERS
    assert described.meaning.endswith((".", "`."))


def test_no_label_can_have_a_value_that_callers_choose() -> None:
    labels = {label for each in Metrics(()).descriptions for label in each.labels}
    assert labels == {
        "method", "kind", "code", "reason", "outcome", "storage", "use", "issuer", "digest", "version", "python",
        "name", "executor", "document", "alert",
    }  # fmt: skip


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each["alert"])
def test_an_alert_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    named = set(re.findall(r"extaudit_\w+", rule["expr"]))
    assert named
    assert {re.sub("_bucket$", "", name) for name in named} <= documented()
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each["alert"])
def test_an_alert_asks_for_labels_that_its_metrics_have(rule: dict[str, Any]) -> None:
    by_name = {each.name: each.labels for each in Metrics(()).descriptions}
    for name, matchers in re.findall(r"(extaudit_\w+)\{([^}]*)\}", rule["expr"]):
        assert set(re.findall(r"(\w+)[!=]?[=~]", matchers)) <= set(by_name[name])


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each["alert"])
def test_an_alert_puts_together_what_has_the_same_labels_or_says_which_are_ignored(rule: dict[str, Any]) -> None:
    """Prometheus finds no pair where they differ, and the alert would never be raised."""
    by_name = {each.name: set(each.labels) for each in Metrics(()).descriptions}
    named = [by_name[name] for name in re.findall(r"extaudit_\w+", rule["expr"]) if name in by_name]
    ignored = set(re.findall(r"\w+", "".join(re.findall(r"ignoring \(([^)]*)\)", rule["expr"]))))
    assert all(labels - ignored == named[0] - ignored for labels in named)


@pytest.mark.parametrize("rule", RULES, ids=lambda each: each["alert"])
def test_what_an_alert_asks_the_increase_of_is_there_before_it_has_any(rule: dict[str, Any]) -> None:
    """A series that begins with 1 has no increase."""
    metrics = Metrics(())
    metrics.deliveries.record_waiting(0, ["default"])
    shown = metrics.render().decode()
    for name, matchers in re.findall(r"increase\((extaudit_\w+)(?:\{([^}]*)\})?\[", rule["expr"]):
        exact = [f'{label}="{value}"' for label, value in re.findall(r'(\w+)="([^"]*)"', matchers)]
        lines = re.findall(rf"^{name}(?:\{{.*)? 0\.0$", shown, re.M)
        assert any(all(each in line for each in exact) for line in lines)


def test_every_reason_why_something_is_missing_is_shown_from_the_start() -> None:
    assert set(REASONS) == {reason.value for reason in MissingReason}
