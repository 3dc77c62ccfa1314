"""The lifecycle of a bucket: the planned rules, and those of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from extaudit_client import BucketPlan

from extaudit_cli.bootstrap.lifecycle import harmful, read_rule, write_rule
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, State
from extaudit_cli.event_json import jsonable

if TYPE_CHECKING:
    from extaudit_cli.bootstrap.bucket_aspects import BucketCalls

Rules = list[dict[str, Any]]


class LifecycleAspect:
    """The planned rules, known by their ids; others stay."""

    name = "lifecycle"

    def __init__(self, calls: BucketCalls, plan: BucketPlan) -> None:
        self._calls = calls
        self._rules: Rules = [write_rule(each) for each in plan.lifecycle_rules]

    @property
    def planned(self) -> Value:
        """The rules, as boto3 takes them."""
        return self._rules or None

    def look(self) -> Attribute:
        """Compare by what the rules do."""
        found = read_rules(self._calls)
        if not self._rules:
            return Attribute(self.name, State.EQUAL, None)
        if not found:
            return Attribute(self.name, State.ABSENT, self._rules)
        there = {each["ID"]: each for each in found if "ID" in each}
        wrong = [each for each in self._rules if not _same(each, there.get(each["ID"]))]
        if not wrong:
            return Attribute(self.name, State.EQUAL, self._rules, self._rules)
        yours = jsonable([there[each["ID"]] for each in wrong if each["ID"] in there])
        return Attribute(self.name, State.DIFFERENT, wrong, yours)

    def write(self, attribute: Attribute) -> None:
        """Put the planned rules in, before those of others."""
        ids = {each["ID"] for each in self._rules}
        found = _read(self._calls)
        kept = [each for each in found.get("Rules", []) if each.get("ID") not in ids]
        # Theirs too, and gone if it isn't given: from which size on objects are moved.
        also = {key: found[key] for key in ("TransitionDefaultMinimumObjectSize",) if found.get(key)}
        rules = {"Rules": [*self._rules, *kept]}
        self._calls.change("put_bucket_lifecycle_configuration", LifecycleConfiguration=rules, **also)


class OtherRulesAspect:
    """Rules of others that delete, abort or archive what the service keeps: they may be there for a reason, so they
    are told and stay."""

    name = "other-lifecycle-rules"
    planned = None

    def __init__(self, calls: BucketCalls, plan: BucketPlan) -> None:
        self._calls = calls
        self._ids = {each.id for each in plan.lifecycle_rules}
        self._prefixes = plan.prefixes

    def look(self) -> Attribute:
        """Name those that do harm."""
        rules = [read_rule(each) for each in read_rules(self._calls) if each.get("ID") not in self._ids]
        found = harmful(rules, self._prefixes)
        if not found:
            return Attribute(self.name, State.EQUAL, None)
        by_hand = "take these rules out of the bucket, or have them end before what the service keeps"
        return Attribute(self.name, State.DIFFERENT, None, found, by_hand=by_hand)

    def write(self, attribute: Attribute) -> None:
        """Nothing: see `by_hand`."""


def read_rules(calls: BucketCalls) -> Rules:
    """The rules of a bucket, as boto3 gives them."""
    rules: Rules = _read(calls).get("Rules", [])
    return rules


def _read(calls: BucketCalls) -> dict[str, Any]:
    return calls.find("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration") or {}


def _same(planned: dict[str, Any], found: dict[str, Any] | None) -> bool:
    return found is not None and read_rule(found) == read_rule(planned)
