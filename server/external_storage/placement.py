"""Where a storage is: what ties it to the account of its integration's role, and the id that follows from its place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from server.errors import FailedPrecondition, Violation
from server.external_storage.regions import partition_of
from server.external_storage.storage import ExternalStorage
from server.integrations.integration import RoleArn
from server.storage.spec import StorageOptions, StorageSpec

DEFAULT_STORAGE: Final = "default"
"""Id of the embedded storage."""
_DIGITS: Final = 16


def storage_id(spec: StorageSpec, role: RoleArn) -> str:
    """The id of a place: that of the same account, bucket and prefixes is always the same, whatever else differs."""
    place = (role.partition, role.account_id, spec.events.bucket, spec.events.prefix, spec.recordings.prefix)
    # No part can hold a line break, so different places are different texts.
    digest = hashlib.sha256("\n".join(place).encode()).hexdigest()
    return f"aws-{digest[:_DIGITS]}"


def fits(role: RoleArn, storage: ExternalStorage) -> bool:
    """Whether a role is in the account that a draft was made for, or that a storage is in."""
    return (role.account_id, role.partition) == (storage.account_id, partition_of(storage.spec.region))


def check_account(role: RoleArn, storage: ExternalStorage) -> None:
    """Refuse what needs the integration's role to be where the draft was made for.

    Raises:
        FailedPrecondition: it is elsewhere (ACCOUNT_CHANGED).
    """
    if not fits(role, storage):
        what = "the integration's role is in another account than the draft was made for; change the draft, or the role"
        raise FailedPrecondition(what, reason="ACCOUNT_CHANGED", account_id=storage.account_id)


def placement_violations(spec: StorageSpec, options: StorageOptions, role: RoleArn, path: str) -> list[Violation]:
    """What of a spec and options that keep the rules doesn't fit the integration's role; `path` is before fields of
    the spec."""
    return list(_violations(spec, options, role, path))


def neighbour_violations(spec: StorageSpec, others: Iterable[StorageSpec], path: str) -> list[Violation]:
    """What of a spec would have events or recordings in a bucket where results expire, its own or those of a storage
    that is or was in force. Names of buckets are the same in all accounts."""
    known = list(others)
    found = []
    if any(spec.results.bucket == each.events.bucket for each in known):
        what = "must be in another bucket than events and recordings of any storage that is or was in force"
        found.append(Violation(f"{path}athena_results_uri", what))
    if any(spec.events.bucket == each.results.bucket for each in known):
        what = "must be in another bucket than results of any storage that is or was in force"
        found.append(Violation(f"{path}audit_events_long_term_uri", what))
    return found


def _violations(spec: StorageSpec, options: StorageOptions, role: RoleArn, path: str) -> Iterator[Violation]:
    if partition_of(spec.region) != role.partition:
        yield Violation(f"{path}region", f"must be in the partition of the integration's role, {role.partition}")
    if not options.kms_key_arn:
        return
    partition, account = (options.kms_key_arn.split(":")[part] for part in (1, 4))
    if partition != role.partition:
        yield Violation("options.kms_key_arn", f"must be in the partition of the integration's role, {role.partition}")
    if account != role.account_id:
        yield Violation("options.kms_key_arn", f"must be in the account of the integration's role, {role.account_id}")
