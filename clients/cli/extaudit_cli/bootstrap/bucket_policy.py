"""The policy of a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from extaudit_cli.bootstrap.policies import Statement, counterparts, lacking, merged, others, statements
from extaudit_cli.bootstrap.rows import Value
from extaudit_cli.bootstrap.things import Attribute, State

if TYPE_CHECKING:
    from extaudit_cli.bootstrap.bucket_aspects import BucketCalls


def compared_policy(name: str, planned: list[Statement], found: list[Statement]) -> Attribute:
    """Policies are equal where each planned statement is in the one found; found and planned are what differs."""
    lacks = lacking(planned, found)
    if not lacks:
        return Attribute(name, State.EQUAL, planned, planned)
    return Attribute(name, State.DIFFERENT, lacks, counterparts(planned, found))


def label(statement: Statement) -> str:
    """What to call a statement that is beside the plan."""
    action = statement.get("Action", statement.get("NotAction", "?"))
    actions = ", ".join(action) if isinstance(action, list) else str(action)
    sid = f" {statement['Sid']!r}" if statement.get("Sid") else ""
    return f"statement{sid}: {statement.get('Effect', '?')} {actions}"


class PolicyAspect:
    """The bucket policy; statements of others stay."""

    name = "policy"

    def __init__(self, calls: BucketCalls, policy: str) -> None:
        self._calls = calls
        self._planned = statements(policy)

    @property
    def planned(self) -> Value:
        """The statements."""
        return self._planned

    def look(self) -> Attribute:
        """Compare; other statements are noted."""
        policy = self._read()
        found = statements(policy) if policy else []
        if not found:
            return Attribute(self.name, State.ABSENT if self._planned else State.EQUAL, self._planned)
        attribute = compared_policy(self.name, self._planned, found)
        beside = tuple(f"{label(each)} is beside the plan" for each in others(self._planned, found))
        return Attribute(self.name, attribute.state, attribute.planned, attribute.found, notes=beside)

    def write(self, attribute: Attribute) -> None:
        """Put the planned statements in."""
        self._calls.change("put_bucket_policy", Policy=merged(self._planned, self._read()))

    def _read(self) -> str:
        found = self._calls.find("get_bucket_policy", "NoSuchBucketPolicy")
        return str(found["Policy"]) if found else ""
