"""Names for a storage that nobody has: one UUID in all of them."""

from __future__ import annotations

import uuid

from server.storage.spec import StorageSpec


def generated_spec(integration_name: str, region: str, nonce: uuid.UUID) -> StorageSpec:
    """The nine fields with the nonce in every name that must differ from others'."""
    dashed = str(nonce)
    underscored = dashed.replace("-", "_")
    long_term, transient = f"s3://teleport-longterm-{dashed}", f"s3://teleport-transient-{dashed}"
    return StorageSpec(
        integration_name=integration_name,
        region=region,
        session_recordings_uri=f"{long_term}/sessions",
        audit_events_long_term_uri=f"{long_term}/events",
        athena_results_uri=f"{transient}/query_results",
        athena_workgroup=f"teleport_events_{underscored}",
        glue_database=f"teleport_events_{underscored}",
        glue_table="teleport_events",
        policy_name=f"ExternalAuditStoragePolicy-{dashed}",
    )
