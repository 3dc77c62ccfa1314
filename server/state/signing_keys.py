"""The keys that sign the service's own tokens, kept in the state database; private halves come and go encrypted."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine, RowMapping, delete, insert, select, update

from server.state.database import writing
from server.state.external_storage_tables import signing_key_changes, signing_keys
from server.state.outbox import add as add_to_outbox


class KeyState(enum.Enum):
    """Where a key is in its life; it only ever goes on in this order, and may leave out `RETIRING`."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRING = "retiring"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs, signed or will sign tokens. Times are ms since 1970."""

    key_id: str
    """RFC 7638 thumbprint of the public half."""
    state: KeyState
    public_key: Mapping[str, str]
    """JWK: `kty`, `n` and `e`."""
    wrapped_key: str = field(repr=False)
    """The private half, encrypted; '' once the key signs no more."""
    created_ms: int
    activated_ms: int | None = None
    """When it began to sign; None before."""
    retired_ms: int | None = None
    """When it leaves, or left, the published set; None for keys that sign or will sign."""

    @property
    def is_published(self) -> bool:
        """Whether it is in the published set."""
        return self.state is not KeyState.RETIRED


class SqlSigningKeys:
    """The signing keys on an engine of `open_database`. Safe to use from several threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, known_revision: int) -> tuple[int, list[SigningKey]] | None:
        """The revision and all keys, sorted by time of creation and id; None where the revision is known.

        Raises:
            StateFault: they can't be read.
        """
        with self._engine.connect() as connection:
            revision = connection.execute(select(signing_key_changes.c.revision)).scalar_one()
            if revision == known_revision:
                return None
            ordered = select(signing_keys).order_by(signing_keys.c.created_ms, signing_keys.c.key_id)
            return revision, [_key(row) for row in connection.execute(ordered).mappings()]

    def change(self, seen_revision: int, keys: Sequence[SigningKey], events: Sequence[Mapping[str, object]]) -> bool:
        """Put `keys` in place of those of their ids, or beside the others, with `events` in the outbox: all or nothing.

        False, and nothing is changed, where the keys are no longer those of `seen_revision`.

        Raises:
            StateFault: nothing is changed.
        """
        with writing(self._engine).begin() as connection:
            counted = update(signing_key_changes).where(signing_key_changes.c.revision == seen_revision)
            if not connection.execute(counted.values(revision=seen_revision + 1)).rowcount:
                return False
            connection.execute(delete(signing_keys).where(signing_keys.c.key_id.in_([key.key_id for key in keys])))
            connection.execute(insert(signing_keys), [_row(key) for key in keys])
            for event in events:
                add_to_outbox(connection, event)
            return True


def _row(key: SigningKey) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "state": key.state.value,
        "public_key": json.dumps(dict(key.public_key), sort_keys=True),
        "wrapped_key": key.wrapped_key,
        "created_ms": key.created_ms,
        "activated_ms": key.activated_ms,
        "retired_ms": key.retired_ms,
    }


def _key(row: RowMapping) -> SigningKey:
    return SigningKey(
        row["key_id"],
        KeyState(row["state"]),
        json.loads(row["public_key"]),
        row["wrapped_key"],
        row["created_ms"],
        row["activated_ms"],
        row["retired_ms"],
    )
