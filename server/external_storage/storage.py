"""An external audit storage as draft or in force, its tests and its history. Times are ms since 1970."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from server.storage.spec import StorageOptions, StorageSpec

TEST_COUNTS_MS: Final = 3_600_000
"""How long a passed connection test counts: for a promotion, or for another role."""


class Stage(enum.Enum):
    """Which of the two; the values are keys of the state."""

    DRAFT = "draft"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class KeptTest:
    """A connection test as it is kept. It counts for exactly the revisions and the role that it names."""

    id: str
    stage: Stage
    storage_revision: str
    integration_name: str
    integration_revision: str
    role_arn: str
    passed: bool
    tested_ms: int
    tester: str
    """JSON of the identity, as all of these."""


@dataclass(frozen=True, slots=True)
class ExternalStorage:
    """A draft, or the storage in force."""

    stage: Stage
    spec: StorageSpec
    options: StorageOptions
    revision: str
    """Opaque; changes with every change."""
    storage_id: str
    account_id: str
    drafter: str
    drafted_ms: int
    promoter: str = ""
    promoted_ms: int | None = None
    description: str = ""
    last_test: KeptTest | None = None
    """The latest test of exactly this revision and of the integration as it is."""


class PromotionKind(enum.Enum):
    """What a row of the history tells of."""

    PROMOTE = "promote"
    DISABLE = "disable"
    ROLE_CHANGE = "role_change"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A row of the history."""

    number: int
    kind: PromotionKind
    promoted_ms: int
    promoter: str
    storage_id: str
    """The storage that is active from then on."""
    spec: StorageSpec
    options: StorageOptions
    role_arn: str
    drafter: str = ""
    drafted_ms: int | None = None
    test: KeptTest | None = None
    forced: bool = False
    reason: str = ""
    description: str = ""
