"""The answer to GetStatus as messages."""

from __future__ import annotations

from extaudit.v1 import alert_pb2
from extaudit.v1 import status_service_pb2 as status_pb
from google.protobuf.duration_pb2 import Duration

from server.audit_log.state_of_service import AlertState, JournalState, ServiceState, StorageState, TokenIssuerState
from server.grpc_api.messages import timestamp_message


def status_response(state: ServiceState) -> status_pb.GetStatusResponse:
    """The answer to GetStatus."""
    return status_pb.GetStatusResponse(
        version=state.version,
        start_time=timestamp_message(state.started_ms),
        serving=state.serving,
        problems=[status_pb.Problem(name=each.name, description=each.description) for each in state.problems],
        journal=_journal(state.journal),
        storages=[_storage(storage) for storage in state.storages],
        certificates=[
            status_pb.CertificateStatus(
                use=each.use, subject=each.subject, expire_time=timestamp_message(each.expires_ms)
            )
            for each in state.certificates
        ],
        policy_digest=state.policy_digest,
        roles=state.roles,
        token_issuers=[_token_issuer(each) for each in state.token_issuers],
        configuration_digest=state.configuration_digest,
        answer_time=timestamp_message(state.answered_ms),
        alerts=[_alert(each) for each in state.alerts],
    )


def _token_issuer(state: TokenIssuerState) -> status_pb.TokenIssuerStatus:
    return status_pb.TokenIssuerStatus(
        issuer=state.issuer,
        key_ids=state.key_ids,
        fetch_time=timestamp_message(state.fetched_ms) if state.fetched_ms is not None else None,
        last_error=state.last_error,
    )


def _alert(alert: AlertState) -> alert_pb2.Alert:
    return alert_pb2.Alert(
        id=alert.id,
        storage=alert.storage,
        severity=alert_pb2.AlertSeverity.Value(f"ALERT_SEVERITY_{alert.severity}"),
        raise_time=timestamp_message(alert.raised_ms),
        message=alert.message,
        remedy=alert.remedy,
    )


def _journal(journal: JournalState) -> status_pb.JournalStatus:
    return status_pb.JournalStatus(
        log_id=journal.log_id,
        next_sequence=journal.next_sequence,
        pending_events=journal.pending_events,
        bytes=journal.bytes,
        quota_bytes=journal.quota_bytes,
        oldest_age=_duration(journal.oldest_age_ms),
        torn_tail_bytes=journal.torn_tail_bytes,
        holes=[
            status_pb.JournalHole(
                log_id=hole.log_id, first_sequence=hole.first_sequence, last_sequence=hole.last_sequence
            )
            for hole in journal.holes
        ],
        free_disk_bytes=journal.free_disk_bytes,
    )


def _storage(storage: StorageState) -> status_pb.StorageStatus:
    delivered, failed = storage.last_delivery_ms, storage.last_failure_ms
    return status_pb.StorageStatus(
        id=storage.id,
        active=storage.active,
        objects=storage.objects,
        foreign_objects=storage.foreign_objects,
        rows=storage.rows,
        bytes=storage.bytes,
        last_delivery_time=None if delivered is None else timestamp_message(delivered),
        last_delivery_error=storage.last_delivery_error,
        location=storage.location,
        pending_events=storage.pending_events,
        pending_bytes=storage.pending_bytes,
        oldest_pending_age=_duration(storage.oldest_age_ms),
        last_failure_time=None if failed is None else timestamp_message(failed),
        last_failure=storage.last_failure,
        waiting_recordings=storage.recordings.recordings,
        waiting_recording_bytes=storage.recordings.bytes,
        oldest_recording_age=_duration(storage.recordings.oldest_age_ms),
    )


def _duration(milliseconds: int) -> Duration:
    return Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1_000_000)
