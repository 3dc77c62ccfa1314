"""What status tells of the parts outside the audit log."""

from __future__ import annotations

import time
from pathlib import Path

from rbac.holder import PolicyHolder
from server.audit_log.outbox_drain import OutboxDrain
from server.audit_log.scrub.scrubbing import Scrubbing
from server.audit_log.state_of_service import CertificateState, Problem, TokenIssuerState, WaitingRecordings
from server.audit_log.status import Surroundings
from server.certificates.certificates_in_force import Certificates, StateOfCertificate, state_of_chain
from server.issuer_assembly import IssuerPart
from server.observability.alerts.alerts import Alerts
from server.recordings.uploads.open_uploads import OpenUploads
from server.recordings.uploads.settling import Settling
from server.regular_files import read_regular
from server.reloading import Settings
from server.storages_assembly import OtherStorages
from server.tokens.token_issuers import TokenIssuers


def surroundings(
    certificates: Certificates,
    policy: PolicyHolder,
    outbox: OutboxDrain,
    tokens: TokenIssuers,
    uploads: OpenUploads,
    settings: Settings,
    scrubbing: Scrubbing,
    issuer: IssuerPart,
    others: OtherStorages,
    alerts: Alerts,
    settling: Settling,
    operations_certificate: Path | None,
) -> Surroundings:
    """What GetStatus asks these parts for."""
    operations = _operations(operations_certificate)

    def warnings() -> list[Problem]:
        found = [*settings.warnings(), *(Problem("certificate_refused", text) for text in certificates.problems())]
        found += [*scrubbing.warnings(), *issuer.warnings()]
        remedy = "`extaudit storage test --stage cluster` says what to do"
        found += [Problem("aws_credentials", f"{text}; {remedy}") for text in others.problems()]
        if policy.error is not None:
            found.append(Problem("roles_refused", f"the changed roles are refused, the old ones stay: {policy.error}"))
        if uploads.unreadable:
            text = "uploads can't be taken up as they were left; the log of the start names them"
            found.append(Problem("uploads_unreadable", f"{uploads.unreadable} {text}"))
        if uploads.abandoned:
            text = "uploads are open and nobody goes on with them; `extaudit recordings complete --partial` ends one"
            found.append(Problem("uploads_abandoned", f"{uploads.abandoned} {text}"))
        return found + [
            Problem("token_keys", f"{state.issuer}: {state.problem}; keys fetched before count for 10 minutes at most")
            for state in tokens.states()
            if state.problem
        ]

    def states() -> list[CertificateState]:
        found = (*certificates.certificate_states(), *issuer.certificates(), *operations)
        return [CertificateState(state.use, state.subject, state.expires_ms) for state in found]

    def roles() -> tuple[str, tuple[str, ...]]:
        return policy.current.digest, tuple(sorted(policy.current.roles))

    def issuers() -> list[TokenIssuerState]:
        return [TokenIssuerState(*state) for state in tokens.states()]

    def waiting() -> dict[str, WaitingRecordings]:
        now_ms = time.time_ns() // 1_000_000
        return {
            storage_id: WaitingRecordings(each.recordings, each.bytes, max(0, now_ms - each.since_ms))
            for storage_id, each in settling.waiting.items()
        }

    def outbox_failing() -> bool:
        return outbox.failing

    return Surroundings(states, roles, warnings, outbox_failing, issuers, alerts, waiting, lambda: settings.digest)


def _operations(certificate: Path | None) -> list[StateOfCertificate]:
    """The operations listener's certificate, which is read at the start alone; one that can't be read keeps it from
    starting."""
    try:
        return state_of_chain("operations", read_regular(certificate)) if certificate is not None else []
    except OSError:
        return []
