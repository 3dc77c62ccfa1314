"""The sandbox put together: moto's server, the patches to it, and the gate before it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import moto
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from tests.sandbox.administration import Administration
from tests.sandbox.asked import AS_TLS, Asked
from tests.sandbox.athena_queries import Queries
from tests.sandbox.athena_workgroups import check_workgroup, update_workgroup
from tests.sandbox.authorization import authorise, leave_bucket_policies_to_the_gate
from tests.sandbox.calls import Calls
from tests.sandbox.encryption import check_key, tell_encryption
from tests.sandbox.faults import Faults
from tests.sandbox.gate import Answerer, Gate, Wsgi
from tests.sandbox.iam_providers import add_client_id
from tests.sandbox.issuers import Issuers, is_fetchable
from tests.sandbox.role_trust import check_trust
from tests.sandbox.s3_buckets import check_owner, check_region, give_defaults, hide_missing
from tests.sandbox.s3_integrity import check_body, decode_chunks, keep_checksums
from tests.sandbox.s3_retention import guard_retention
from tests.sandbox.s3_uploads import guard_uploads
from tests.sandbox.sent import Sent, sent_folder
from tests.sandbox.signatures import identify
from tests.sandbox.web_identity import WebIdentity, keep_scheme_of_providers

MOTO = "5.2.5"


class OtherMoto(Exception):
    """The installed moto isn't the one whose insides are patched."""


class _Dispatcher(DomainDispatcherApplication):
    """moto's, which for every request lists its own folder and tries hundreds of patterns; the host says it all."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """As moto finds it the first time."""
        if host not in self._backends:
            self._backends[host] = super().get_backend_for_host(host)
        return self._backends[host]


def unpatched() -> Wsgi:
    """moto's server as it comes."""
    return _Dispatcher()


def sandbox(issuer_authority: Path | None, *, as_tls: bool) -> Wsgi:
    """The whole; with `as_tls` requests without TLS are taken for ones with it. Raises OtherMoto."""
    if moto.__version__ != MOTO:
        raise OtherMoto(f"the sandbox patches the insides of moto {MOTO}; installed is {moto.__version__}")
    keep_scheme_of_providers(is_fetchable)
    leave_bucket_policies_to_the_gate()
    calls, faults, issuers = Calls(Sent(sent_folder())), Faults(), Issuers(issuer_authority)

    def fail_on_demand(asked: Asked) -> None:
        faults.raise_for({asked.operation, *(each.action for each in asked.kept.get("permissions", ()))})

    def pass_over_conditions(asked: Asked) -> None:
        if asked.service == "s3" and faults.no_conditions:
            asked.environ.pop("HTTP_IF_NONE_MATCH", None)

    def take_for_tls(asked: Asked) -> None:
        if as_tls:
            asked.environ[AS_TLS] = True

    lock = threading.Lock()
    queries = Queries(calls, faults, lock)
    checks = [take_for_tls, identify, decode_chunks, authorise, check_trust, check_owner, check_region, fail_on_demand]
    checks += [pass_over_conditions, check_body, check_key, check_workgroup]
    rules = [tell_encryption, hide_missing, give_defaults, guard_retention, guard_uploads, keep_checksums]
    answerers: dict[tuple[str, str], Answerer] = {
        ("sts", "AssumeRoleWithWebIdentity"): WebIdentity(issuers),
        ("iam", "AddClientIDToOpenIDConnectProvider"): add_client_id,
        ("athena", "StartQueryExecution"): queries.start,
        ("athena", "GetQueryExecution"): queries.get,
        ("athena", "GetQueryResults"): queries.results,
        ("athena", "StopQueryExecution"): queries.stop,
        ("athena", "UpdateWorkGroup"): update_workgroup,
    }
    return Gate(unpatched(), checks, rules, answerers, calls, Administration(calls, faults, issuers, queries), lock)
