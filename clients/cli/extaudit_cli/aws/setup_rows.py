"""What was found and done of each part of the trust."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Outcome(enum.Enum):
    """How it stands with one part; the values are what people see."""

    EQUAL = "equal"
    CREATED = "created"
    SET = "set"
    """Something was lacking, and was added."""
    UPDATED = "updated"
    """It was otherwise, and was changed because that was asked for."""
    DIFFERS = "differs"
    """It is otherwise, and was left as it is."""
    BESIDE = "left as it is"
    """It is otherwise, and makes no difference to who may assume the role."""
    WOULD_CREATE = "would create"
    WOULD_SET = "would set"
    WOULD_UPDATE = "would update"


AS_PLANNED = frozenset({Outcome.EQUAL, Outcome.CREATED, Outcome.SET, Outcome.UPDATED, Outcome.BESIDE})


@dataclass(frozen=True, slots=True)
class Row:
    """One part. `planned` and `found` are JSON values, None for nothing."""

    name: str
    subject: str
    """The ARN that it is of."""
    outcome: Outcome
    planned: Any = None
    found: Any = None
    remedy: str = ""
