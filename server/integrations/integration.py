"""An integration, and the ARN of the role that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

PARTITIONS: Final = ("aws", "aws-us-gov", "aws-cn")
_ROLE_ARN: Final = re.compile(
    r"arn:(?P<partition>aws|aws-us-gov|aws-cn):iam::(?P<account>[0-9]{12}):role"
    r"(?P<path>/(?:[!-.0-~]+/)*)(?P<name>[A-Za-z0-9_+=,.@-]{1,64})",
    re.ASCII,
)
MAX_PATH_CHARACTERS: Final = 512


@dataclass(frozen=True, slots=True)
class RoleArn:
    """The ARN of an IAM role, parsed: `arn:<partition>:iam::<account>:role<path><name>`."""

    partition: str
    account_id: str
    path: str
    """`/`, or `/…/`."""
    name: str

    def __str__(self) -> str:
        return f"arn:{self.partition}:iam::{self.account_id}:role{self.path}{self.name}"

    @classmethod
    def parse(cls, text: str) -> RoleArn | None:
        """The role that `text` names, which must be all of it; None where it names none."""
        matched = _ROLE_ARN.fullmatch(text)
        if matched is None or len(matched["path"]) > MAX_PATH_CHARACTERS:
            return None
        return cls(matched["partition"], matched["account"], matched["path"], matched["name"])


@dataclass(frozen=True, slots=True)
class Integration:
    """A name for a role in an AWS account. Times are ms since 1970."""

    name: str
    role_arn: RoleArn
    revision: str
    """Opaque; changes with every change."""
    created_ms: int
    updated_ms: int
    creator: str
    """JSON, as `server.audit_log.access.identity_text` gives it."""
