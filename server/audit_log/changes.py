"""What befell the service outside of any call: noted at once, and written to the outbox by housekeeping."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from server.observability.alerts.alerts import Alert
from server.service_events import (
    ALERT_CLEARED,
    ALERT_RAISED,
    CERTIFICATES_REFUSED,
    CERTIFICATES_RELOADED,
    CLOCK_STEPPED,
    CONFIGURATION_REFUSED,
    CONFIGURATION_RELOADED,
    KEY_SET_EXPIRED,
    KEY_SET_REFUSED,
    KEY_SET_RELOADED,
    ROLES_REFUSED,
    ROLES_RELOADED,
    STARTED,
    STOPPED,
    encoded,
)
from server.state.outbox import Outbox


class Changes:
    """Takes notes without waiting for anything; safe to use from any thread.

    A note has the time at which it was taken, and is lost only if the process dies before the next `write`.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._notes: deque[bytes] = deque()
        self._writing = threading.Lock()

    def write(self) -> None:
        """Write what was noted to the outbox, in order. Blocks.

        Raises:
            StateFault: it can't be written now, and is kept for the next time.
        """
        with self._writing:
            while self._notes:
                self._outbox.put(self._notes[0])
                self._notes.popleft()

    def started(self, **facts: object) -> None:
        """The service serves from now on."""
        self._note(STARTED, **facts)

    def stopped(self, **facts: object) -> None:
        """The service stops in an orderly way."""
        self._note(STOPPED, **facts)

    def roles_reloaded(self, before: str, after: str, roles: Sequence[str]) -> None:
        """Another policy is in force: its digest, the one before, and the names of all roles."""
        self._note(ROLES_RELOADED, before=before, after=after, roles=sorted(roles))

    def roles_refused(self, in_force: str, reason: str) -> None:
        """Changed role files are refused; the policy of digest `in_force` stays."""
        self._note(ROLES_REFUSED, in_force=in_force, reason=reason)

    def configuration_reloaded(self, before: str, after: str, changed: Sequence[str], waiting: Sequence[str]) -> None:
        """The configuration was read again: its digest, the one before, the settings that have another value now, and
        those whose new value waits for a restart."""
        self._note(CONFIGURATION_RELOADED, before=before, after=after, changed=list(changed), waiting=list(waiting))

    def configuration_refused(self, in_force: str, problems: Sequence[str]) -> None:
        """A configuration that was read again is refused; the one of digest `in_force` stays."""
        self._note(CONFIGURATION_REFUSED, in_force=in_force, problems=list(problems))

    def certificates_reloaded(self, removed: Sequence[object], added: Sequence[object]) -> None:
        """Server certificates or trusted CAs changed; each is a JSON object that names one."""
        self._note(CERTIFICATES_RELOADED, removed=list(removed), added=list(added))

    def certificates_refused(self, reason: str) -> None:
        """Changed certificate files are refused; what was in force stays."""
        self._note(CERTIFICATES_REFUSED, reason=reason)

    def key_set_reloaded(self, issuer: str, key_ids: Sequence[str]) -> None:
        """The keys that vouch for an issuer's tokens changed, or could be fetched for the first time or again."""
        self._note(KEY_SET_RELOADED, issuer=issuer, keys=sorted(key_ids))

    def key_set_refused(self, issuer: str, key_ids: Sequence[str], reason: str) -> None:
        """An issuer's key set can't be fetched, or is refused; keys of these ids still count."""
        self._note(KEY_SET_REFUSED, issuer=issuer, keys=sorted(key_ids), reason=reason)

    def key_set_expired(self, issuer: str, key_ids: Sequence[str]) -> None:
        """An issuer's keys, of these ids, count no longer: the last good fetch was too long ago."""
        self._note(KEY_SET_EXPIRED, issuer=issuer, keys=sorted(key_ids))

    def alert_raised(self, alert: Alert) -> None:
        """An alert is raised."""
        self._note(ALERT_RAISED, **_facts(alert), error=alert.detail, remedy=alert.remedy)

    def alert_cleared(self, alert: Alert) -> None:
        """An alert is raised no more."""
        self._note(ALERT_CLEARED, **_facts(alert), since_ms=alert.since_ms)

    def clock_stepped(self, seconds: float) -> None:
        """The clock of the machine was set: by how much, forward or (below zero) back."""
        self._note(CLOCK_STEPPED, seconds=round(seconds, 3))

    def _note(self, kind: str, **facts: object) -> None:
        self._notes.append(encoded({"event": kind, **facts}))


def _facts(alert: Alert) -> dict[str, object]:
    severity = alert.severity.value.lower()
    return {"alert": alert.id, "storage": alert.storage_id, "severity": severity, "message": alert.message}
