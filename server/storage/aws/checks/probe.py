"""All checks of a place in AWS, in their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from server.storage.aws.checks import buckets, prefixes, query, stores, table
from server.storage.aws.checks.credentials import check_credentials
from server.storage.aws.checks.findings import Findings, Stopped
from server.storage.aws.clients import AwsClients
from server.storage.aws.session import AwsSettings
from server.storage.connection import Check, Wanted
from server.storage.spec import S3Location

_READ_SECONDS: Final = 15.0
_ATTEMPTS: Final = 2
"""A test is to tell what is wrong, soon; it need not get there by patience."""


class AwsConnectionProbe:
    """Makes the checks with clients of its own, so that what it finds is of now, and of the role to be tried."""

    def __init__(self, settings: AwsSettings) -> None:
        self._settings = dataclasses.replace(
            settings,
            read_timeout=min(settings.read_timeout, _READ_SECONDS),
            attempts=min(settings.attempts, _ATTEMPTS),
            connections=2,
        )

    def run(
        self, wanted: Wanted, token: Callable[[], str], report: Callable[[Check], None], stopped: Callable[[], bool]
    ) -> None:
        """As the port says."""
        clients = AwsClients(wanted.spec.region, wanted.role_arn, token, self._settings)
        try:
            run_checks(clients, wanted, Findings(report, stopped))
        except Stopped:
            pass
        finally:
            clients.close()


def run_checks(clients: AwsClients, wanted: Wanted, findings: Findings) -> None:
    """Make every check with these clients. Raises Stopped where the test is to end."""
    findings.go_on()
    result = _check_place(clients, wanted, findings)
    stores.check_store(clients, wanted, result, findings)


def _check_place(clients: AwsClients, wanted: Wanted, findings: Findings) -> S3Location | None:
    """Tell of all but the store; gives the object of the query's result."""
    if not check_credentials(clients, wanted, findings):
        _nothing(wanted, findings)
        return None
    first_key = _check_s3(clients, wanted, findings)
    if not table.check_table(clients, wanted, findings):
        query.not_checked(wanted, "There is no table to ask.", findings)
        return None
    return query.check_query(clients, wanted, query.question_of(wanted, first_key), findings)


def _check_s3(clients: AwsClients, wanted: Wanted, findings: Findings) -> str | None:
    """Tell of both buckets; gives what is known of the events' first key."""
    first_key = None
    for bucket, places in _buckets(wanted):
        fit = buckets.check_bucket(clients, wanted, bucket, findings)
        for place in places:
            prefix = prefixes.prefix_of(place, wanted.test_id)
            if not fit:
                prefixes.not_checked(prefix, "The bucket can't be used.", findings)
                continue
            found = prefixes.check_prefix(clients, wanted, prefix, findings)
            if str(place) == str(S3Location.parse(wanted.spec.audit_events_long_term_uri)):
                first_key = found
    return first_key


def _buckets(wanted: Wanted) -> list[tuple[buckets.Bucket, list[S3Location]]]:
    spec = wanted.spec
    events, recordings, results = (
        S3Location.parse(uri)
        for uri in (spec.audit_events_long_term_uri, spec.session_recordings_uri, spec.athena_results_uri)
    )
    return [
        (buckets.Bucket(events.bucket, long_term=True), [events, recordings]),
        (buckets.Bucket(results.bucket, long_term=False), [results]),
    ]


def _nothing(wanted: Wanted, findings: Findings) -> None:
    why = "There are no credentials."
    for bucket, places in _buckets(wanted):
        for name in buckets.OF_BUCKETS:
            if bucket.long_term or name != buckets.LOCK:
                findings.not_checked(name, bucket.name, why)
        for place in places:
            prefixes.not_checked(prefixes.prefix_of(place, wanted.test_id), why, findings)
    table.not_checked(wanted, why, findings)
    query.not_checked(wanted, why, findings)
