"""Who calls: the identity that the client's certificate gives, resolved for every call and every message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from server.errors import Unauthenticated
from server.grpc_api.call import Call, Check
from server.grpc_api.interceptors.token_authentication import refuse_token
from server.grpc_api.use_cases import Authenticator

CERTIFICATE = "x509_pem_cert"


def authentication(authenticator: Authenticator, clock: Callable[[], datetime]) -> Check:
    """Set the call's identity, or refuse the call."""

    def authenticate(call: Call) -> None:
        # Asked for once a call, as it costs more than all the rest. Not remembered by peer address: another
        # connection may come from the same one.
        pem = call.certificate
        if not pem:
            refuse_token(call)
            pem = call.certificate = _certificate_of(call)
        call.identity = authenticator.resolve(pem, call.peer, clock())

    return authenticate


def _certificate_of(call: Call) -> bytes:
    found = call.context.auth_context().get(CERTIFICATE)
    if not found:
        raise Unauthenticated("a client certificate is required")
    pem: bytes = next(iter(found))
    return pem
