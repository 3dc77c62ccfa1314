"""What `extaudit identity forget-signing-keys` does, for a wrapping key that is lost for good."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from server.data_directory import DataDirectory, DataDirectoryProblem
from server.integrations.key_events import events_of
from server.state.database import StateFault, open_database
from server.state.migrations import NewerSchema
from server.state.signing_keys import KeyState, SigningKey, SqlSigningKeys


def forget_signing_keys(data_dir: Path, reason: str, operator: str) -> list[str]:
    """Retire every signing key, so that the next start makes others; gives the ids of those that were retired.

    Args:
        data_dir: no service may run on it.
        reason: why, for the audit event; not empty.
        operator: the user of this machine who asks.

    Raises:
        DataDirectoryProblem: there is no state to change, or it can't be, or a service runs.
        OSError: the data directory can't be used.
    """
    directory = DataDirectory(data_dir)
    if not directory.state.exists():
        raise DataDirectoryProblem("there is no state database, so no signing key")
    with directory.acquire():
        try:
            engine = open_database(directory.state)
        except (StateFault, NewerSchema) as error:
            raise DataDirectoryProblem("the state database can't be used") from error
        try:
            return _forget(SqlSigningKeys(engine), {"reason": reason, "operator": operator})
        except StateFault as error:
            raise DataDirectoryProblem("the state database can't be used") from error
        finally:
            engine.dispose()


def _forget(store: SqlSigningKeys, about: dict[str, object]) -> list[str]:
    revision, keys = store.read(-1) or (-1, [])
    before = {key.key_id: key for key in keys}
    now = time.time_ns() // 1_000_000
    changed: list[SigningKey] = [
        replace(key, state=KeyState.RETIRED, wrapped_key="", retired_ms=now) for key in keys if key.is_published
    ]
    if changed and not store.change(revision, changed, events_of(before, changed, about)):
        raise DataDirectoryProblem("the signing keys were changed by another just now")
    return [key.key_id for key in changed]
