"""Which AWS regions a storage may be in, and which partition each belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

ANY: Final = "*"
_REGION: Final = re.compile(r"[a-z]{2}(-gov|-iso[a-z]?)?-[a-z]+-[0-9]{1,2}", re.ASCII)
"""As Teleport's clients take them: they refuse what they are given otherwise."""
MAX_CHARACTERS: Final = 32
_CHINA, _GOVERNMENT, _ISOLATED = re.compile(r"cn-"), re.compile(r"us-gov-"), re.compile(r"[a-z]{2}-iso[a-z]?-")


def partition_of(region: str) -> str:
    """The partition of a region: `aws`, `aws-us-gov` or `aws-cn`."""
    if _CHINA.match(region):
        return "aws-cn"
    return "aws-us-gov" if _GOVERNMENT.match(region) else "aws"


@dataclass(frozen=True, slots=True)
class RegionRule:
    """The regions that configuration allows."""

    own: str = ""
    """The service's own; '' where it has none, and any region will do."""
    others: tuple[str, ...] = ()
    """Allowed beside it; ANY is all of them."""

    def problems(self, region: str) -> Iterator[str]:
        """What is wrong with a region, as what it must be."""
        if not _REGION.fullmatch(region) or len(region) > MAX_CHARACTERS:
            yield "must be the name of an AWS region, such as us-west-2"
        elif _ISOLATED.match(region):
            yield "must be in one of the partitions aws, aws-us-gov and aws-cn"
        elif self.own and region != self.own and region not in self.others and ANY not in self.others:
            yield f"must be {' or '.join((self.own, *self.others))}: other regions need external_storage.other_regions"
