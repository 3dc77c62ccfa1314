"""Lifecycle rules of S3: what a rule says, and which keys it is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from extaudit_client import LifecycleRulePlan


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """A rule as S3 understands it. Days are None where it doesn't do that.

    A prefix is compared with keys letter by letter; keys begin without a slash, so one that has it is for no key of
    ours.
    """

    id: str
    enabled: bool
    prefix: str
    narrowed: bool
    """Whether it is only for some objects under its prefix, by tags or size."""
    expiration_days: int | None = None
    expiration_date: str | None = None
    expired_delete_markers: bool = False
    noncurrent_days: int | None = None
    newer_noncurrent_versions: int | None = None
    """How many versions that aren't current it leaves, however old they are."""
    abort_upload_days: int | None = None
    moves: tuple[str, ...] = ()
    """The storage classes that it moves objects to."""

    @property
    def archives(self) -> bool:
        """Whether it moves objects to a class that has to be asked for them first."""
        return any(each not in _READABLE for each in self.moves)

    def is_for(self, key: str) -> bool:
        """Whether an object of this key can be hit."""
        return self.enabled and key.startswith(self.prefix)

    def touches(self, prefix: str) -> bool:
        """Whether keys `<prefix>/…` can be hit; '' stands for all keys."""
        folder = f"{prefix}/" if prefix else ""
        return self.enabled and (folder.startswith(self.prefix) or self.prefix.startswith(folder))

    @property
    def harm(self) -> str:
        """What it does to audit data, in words; '' for nothing."""
        told = [
            (self.expiration_days is not None, f"deletes objects after {self.expiration_days} days"),
            (self.expiration_date is not None, f"deletes objects on {self.expiration_date}"),
            (self.noncurrent_days is not None, f"deletes older versions after {self.noncurrent_days} days"),
            (self.abort_upload_days is not None, f"aborts uploads after {self.abort_upload_days} days"),
            (self.archives, "moves objects where they can't be read at once"),
        ]
        return ", ".join(text for does, text in told if does)


_READABLE = frozenset({"STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"})


def read_rule(rule: Mapping[str, Any]) -> LifecycleRule:
    """Read a rule as boto3 gives it."""
    wanted = rule.get("Filter") or {}
    both = wanted.get("And") or {}
    prefix = rule.get("Prefix") or wanted.get("Prefix") or both.get("Prefix") or ""
    sizes = ("ObjectSizeGreaterThan", "ObjectSizeLessThan")
    narrowed = bool(wanted.get("Tag") or both.get("Tags") or any(size in wanted or size in both for size in sizes))
    ends = rule.get("Expiration") or {}
    moves = [*(rule.get("Transitions") or []), *(rule.get("NoncurrentVersionTransitions") or [])]
    noncurrent = rule.get("NoncurrentVersionExpiration") or {}
    return LifecycleRule(
        str(rule.get("ID", "")),
        rule.get("Status") == "Enabled",
        prefix,
        narrowed,
        ends.get("Days"),
        str(ends["Date"]) if "Date" in ends else None,
        bool(ends.get("ExpiredObjectDeleteMarker")),
        noncurrent.get("NoncurrentDays"),
        noncurrent.get("NewerNoncurrentVersions"),
        (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation"),
        tuple(sorted(str(each.get("StorageClass")) for each in moves)),
    )


def write_rule(plan: LifecycleRulePlan) -> dict[str, Any]:
    """Write a planned rule as boto3 takes it."""
    rule: dict[str, Any] = {"ID": plan.id, "Status": "Enabled", "Filter": {"Prefix": plan.prefix}}
    if plan.expiration_days:
        rule["Expiration"] = {"Days": plan.expiration_days}
    elif plan.expired_delete_markers:
        rule["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if plan.noncurrent_days:
        rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": plan.noncurrent_days}
    if plan.abort_upload_days:
        rule["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": plan.abort_upload_days}
    return rule


def harmful(rules: Iterable[LifecycleRule], prefixes: Iterable[str]) -> list[str]:
    """Rules that delete, abort or archive under any of the prefixes, told one by one."""
    places = list(prefixes) or [""]
    return [
        f"rule {rule.id!r} {rule.harm} under {rule.prefix or 'every prefix'}"
        for rule in rules
        if rule.harm and any(rule.touches(place) for place in places)
    ]
