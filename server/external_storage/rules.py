"""The rules for the nine fields and the options. Every violation is told, each with its field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from server.errors import Violation
from server.external_storage.locations import is_within, location_problems
from server.external_storage.regions import RegionRule
from server.storage.spec import ObjectLockMode, S3Location, StorageOptions, StorageSpec

MAX_DESCRIPTION_CHARACTERS: Final = 1024
MAX_DAYS: Final = 36_500
MAX_RESULTS_DAYS: Final = 365
MIN_SCAN_LIMIT_BYTES: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class _Name:
    """A field that is a name: what it matches, whole, and that in words."""

    pattern: re.Pattern[str]
    words: str


_GLUE_NAME: Final = _Name(re.compile(r"[a-z0-9_]{1,255}", re.ASCII), "must be 1 to 255 characters of a-z 0-9 _")
_NAMES: Final[Mapping[str, _Name]] = MappingProxyType(
    {
        "integration_name": _Name(
            re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9_.@+-]{1,128}", re.ASCII),
            "must be 1 to 128 characters of A-Z a-z 0-9 _ . @ + -, and not . or ..",
        ),
        "athena_workgroup": _Name(
            re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII), "must be 1 to 128 characters of A-Z a-z 0-9 . _ -"
        ),
        "glue_database": _GLUE_NAME,
        "glue_table": _GLUE_NAME,
        "policy_name": _Name(
            re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}", re.ASCII),
            "must be 1 to 128 characters of A-Z a-z 0-9 _ + = , . @ -",
        ),
    }
)
_EVENTS: Final = "audit_events_long_term_uri"
_RECORDINGS: Final = "session_recordings_uri"
_RESULTS: Final = "athena_results_uri"
_KMS_KEY: Final = re.compile(
    r"arn:(aws|aws-us-gov|aws-cn):kms:[a-z0-9-]{1,32}:[0-9]{12}:key/"
    r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|mrk-[0-9a-f]{32})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules that need nothing but the configuration."""

    regions: RegionRule

    def violations(self, spec: StorageSpec, options: StorageOptions, path: str = "spec.") -> list[Violation]:
        """Everything wrong with the nine fields and the options; `path` is before the names of the nine."""
        found = [Violation(path + each.field, each.description) for each in spec_violations(spec, self.regions)]
        wrong = options_violations(options, spec.region)
        return found + [Violation(f"options.{each.field}", each.description) for each in wrong]


def spec_violations(spec: StorageSpec, regions: RegionRule) -> list[Violation]:
    """Everything wrong with the nine fields, in their order and named without a path."""
    found = [
        Violation(name, rule.words) for name, rule in _NAMES.items() if not rule.pattern.fullmatch(getattr(spec, name))
    ]
    found += [Violation("region", problem) for problem in regions.problems(spec.region)]
    for name in (_RECORDINGS, _EVENTS, _RESULTS):
        found += [Violation(name, problem) for problem in location_problems(getattr(spec, name))]
    found += _violations_of_places(spec, {violation.field for violation in found})
    order = list(StorageSpec.__slots__)
    return sorted(found, key=lambda violation: order.index(violation.field))


def _violations_of_places(spec: StorageSpec, wrong: set[str]) -> Iterator[Violation]:
    """What is wrong between the three places, of those that are right by themselves."""
    if wrong.isdisjoint({_EVENTS, _RECORDINGS}):
        events, recordings = spec.events, spec.recordings
        if events.bucket != recordings.bucket:
            yield Violation(_RECORDINGS, f"must be in the bucket of {_EVENTS}")
        elif is_within(events, recordings) or is_within(recordings, events):
            yield Violation(_RECORDINGS, f"must be beside {_EVENTS}: neither prefix may be the other or within it")
    for name in (_EVENTS, _RECORDINGS):
        if wrong.isdisjoint({name, _RESULTS}) and S3Location.parse(getattr(spec, name)).bucket == spec.results.bucket:
            yield Violation(_RESULTS, f"must be in another bucket than {name}")
            return


def options_violations(options: StorageOptions, region: str) -> list[Violation]:
    """Everything wrong with the options of a storage in this region, named without a path."""
    return list(_violations_of_options(options, region))


def _violations_of_options(options: StorageOptions, region: str) -> Iterator[Violation]:
    has_lock = options.object_lock_mode is not ObjectLockMode.NONE
    if has_lock and not 1 <= options.object_lock_days <= MAX_DAYS:
        yield Violation("object_lock_days", f"must be 1 to {MAX_DAYS} days, or 0 for the default")
    if not has_lock and options.object_lock_days != 0:
        yield Violation("object_lock_days", "must be 0 where the mode is NONE")
    if options.kms_key_arn and not _KMS_KEY.fullmatch(options.kms_key_arn):
        yield Violation("kms_key_arn", "must be the ARN of a KMS key: arn:<partition>:kms:<region>:<account>:key/<id>")
    elif options.kms_key_arn and options.kms_key_arn.split(":")[3] != region:
        yield Violation("kms_key_arn", "must be in the region of the storage")
    if not 0 <= options.retention_days <= MAX_DAYS:
        yield Violation("retention_days", f"must be 1 to {MAX_DAYS} days, or 0 to keep everything")
    elif has_lock and 0 < options.retention_days < options.object_lock_days:
        yield Violation("retention_days", "must not end before object lock: at least object_lock_days")
    if not 1 <= options.results_days <= MAX_RESULTS_DAYS:
        yield Violation("results_days", f"must be 1 to {MAX_RESULTS_DAYS} days, or 0 for the default")
    if options.scan_limit_bytes < MIN_SCAN_LIMIT_BYTES:
        yield Violation("scan_limit_bytes", f"must be at least {MIN_SCAN_LIMIT_BYTES} bytes, or 0 for the default")


def description_violations(description: str) -> list[Violation]:
    """What is wrong with a description."""
    if len(description) <= MAX_DESCRIPTION_CHARACTERS and "\0" not in description:
        return []
    return [Violation("description", f"must be at most {MAX_DESCRIPTION_CHARACTERS} characters, none of them NUL")]
