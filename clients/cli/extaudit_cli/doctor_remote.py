"""The doctor's checks of a service that is only reached over the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Final

from extaudit_client import Client, Connection
from extaudit_client.errors import ExtauditError
from extaudit_client.handshake import shake_hands
from extaudit_client.pem import validities

from extaudit_cli.doctor_storage import DRIFTED, FAILED, check_storage
from server.doctor.check import Check
from server.doctor.findings import Fact, Fault, Finding, Severity, Told, Unexamined

_SOON: Final = timedelta(days=7)
_LATER: Final = timedelta(days=30)
_TOLERATED: Final = timedelta(seconds=5)

UNREACHABLE: Final = Fault(
    "service_unreachable",
    Severity.ERROR,
    "The service can't be talked to.",
    "Look at whether it runs and at --address, then at the certificates: --ca is the CA of the server's, --cert and "
    "--key are yours. `extaudit doctor --data-dir DIR` on its machine tells more.",
)
SERVED_ENDS: Final = Fault(
    "served_certificate_ends",
    Severity.WARNING,
    "The certificate that the service shows ends within 30 days, and a third of its life or less is left.",
    "Restart the server where the certificate is its own: it renews it. Else replace grpc.certificate and grpc.key.",
)
OWN_ENDS: Final = Fault(
    "own_certificate_ends",
    Severity.WARNING,
    "Your own certificate ends within 7 days, and a third of its life or less is left.",
    "Have it renewed: `extaudit identity renew NAME` on the service's machine.",
)
OWN_OUTSIDE: Final = Fault(
    "own_certificate_ended",
    Severity.ERROR,
    "Your own certificate has ended, or isn't valid yet: no call with it is taken.",
    "Have it renewed: `extaudit identity renew NAME` on the service's machine. Look at this machine's clock.",
)
CLOCKS_DIFFER: Final = Fault(
    "clocks_differ",
    Severity.WARNING,
    "The service's clock and this machine's differ by more than 5 seconds.",
    "Keep both right with NTP. Where they are wrong, certificates begin and end at other times than they say.",
)
NOT_SERVING: Final = Fault(
    "service_not_serving",
    Severity.ERROR,
    "The service doesn't take events or answer searches as it should.",
    "See the problems that it tells of.",
)
PROBLEM: Final = Fault(
    "service_problem",
    Severity.WARNING,
    "The service tells of something wrong.",
    "Each has its remedy in its own words; `extaudit doctor --data-dir DIR` on its machine may tell more.",
)
ALERT: Final = Fault(
    "service_alert",
    Severity.WARNING,
    "An alert is raised: something of a storage fails so often, or is so wrong, that somebody has to look.",
    "Each has its remedy in its own words; docs/alerts.md says when it is cleared.",
)
EVENTS_LOST: Final = Fault(
    "service_events_lost",
    Severity.WARNING,
    "The service lost events to damage of its journal in the past; every search says so.",
    "A copy of its journal may still hold them; emitters that keep their events can send again.",
)
VERSION_DIFFERS: Final = Fault(
    "version_differs",
    Severity.NOTICE,
    "The service is of another version than this command.",
    "Use a command of the service's version, so that both know the same.",
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and how it is reached."""

    connection: Connection


def check_connection(at: Service) -> Told:
    """Shake hands, and look at the ends of both sides' certificates."""
    now = datetime.now(UTC)
    connection = at.connection
    if connection.cert is not None:
        yield from _own(connection, now)
    try:
        served = shake_hands(connection)
    except ExtauditError as error:
        yield UNREACHABLE.of(connection.address, error.message)
        return
    yield Fact("address", connection.address)
    yield Fact("TLS", served.tls_version)
    yield Fact("certificate ends", f"{served.expire_time:%Y-%m-%d %H:%M} UTC")
    yield Fact("certificate SHA-256", served.sha256)
    if served.expire_time - now <= min(_LATER, (served.expire_time - served.start_time) / 3):
        yield SERVED_ENDS.of(connection.address, f"ends on {served.expire_time:%Y-%m-%d %H:%M} UTC")


def check_service(at: Service) -> Told:
    """Ask the service how it is."""
    begun = datetime.now(UTC)
    try:
        with Client(at.connection) as client:
            status = client.status()
    except ExtauditError as error:
        if error.code == "PERMISSION_DENIED":
            raise Unexamined("your roles don't allow GetStatus; it needs cluster_alert:list") from None
        yield UNREACHABLE.of(at.connection.address, error.message)
        return
    ended = datetime.now(UTC)
    yield Fact("version", status.version)
    yield Fact("serving", "yes" if status.serving else "no")
    yield Fact("events waiting", status.journal.pending_events)
    yield Fact("free bytes", status.journal.free_disk_bytes)
    if status.answer_time is not None:
        yield from _clock(status.answer_time, begun, ended)
    if not status.serving:
        yield NOT_SERVING.of(at.connection.address)
    for problem in status.problems:
        yield PROBLEM.of(problem.name, problem.description)
    for alert in status.alerts:
        yield ALERT.of(f"{alert.id} of {alert.storage}", f"{alert.message}; {alert.remedy}")
    for hole in status.journal.holes:
        yield EVENTS_LOST.of(hole.log_id, f"sequences {hole.first_sequence}-{hole.last_sequence}")
    if status.version != version("extaudit"):
        yield VERSION_DIFFERS.of(at.connection.address, f"{status.version}; this command is {version('extaudit')}")


def _own(connection: Connection, now: datetime) -> Iterator[Finding]:
    if connection.cert is None:
        return
    try:
        begin, end = validities(connection.cert.read_bytes())[0]
    except (OSError, ValueError):
        return  # the handshake tells of it
    subject, life = str(connection.cert), f"valid from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"
    if not begin <= now < end:
        yield OWN_OUTSIDE.of(subject, life)
    elif end - now <= min(_SOON, (end - begin) / 3):
        yield OWN_ENDS.of(subject, life)


def _clock(told: datetime, begun: datetime, ended: datetime) -> Told:
    """The difference as far as the call's length lets it be known."""
    off = max(timedelta(0), told - ended, begun - told)
    yield Fact("clocks differ by seconds", round(off.total_seconds(), 3))
    if off > _TOLERATED:
        yield CLOCKS_DIFFER.of("clock", f"by {off.total_seconds():.0f} s; there it is {told:%Y-%m-%d %H:%M:%S} UTC")


REMOTE_CHECKS: Final[tuple[Check[Service], ...]] = (
    Check(
        "connection",
        "A TLS handshake with the service, with the certificates that are configured, and when they end.",
        (UNREACHABLE, SERVED_ENDS, OWN_OUTSIDE, OWN_ENDS),
        check_connection,
    ),
    Check(
        "service",
        "What the service says of itself, and its clock.",
        (UNREACHABLE, NOT_SERVING, PROBLEM, ALERT, EVENTS_LOST, CLOCKS_DIFFER, VERSION_DIFFERS),
        check_service,
    ),
    Check(
        "external_storage",
        "The connection test of the external audit storage in force, and what its role can't see.",
        (FAILED, DRIFTED),
        check_storage,
    ),
)
