"""Who calls, on the listener for tokens: the user that the bearer token names, resolved for every call and message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from server.errors import Unauthenticated
from server.grpc_api.call import Call, Check
from server.grpc_api.use_cases import TokenAuthenticator

HEADER = "authorization"
SCHEME = "bearer "


def token_authentication(authenticator: TokenAuthenticator, clock: Callable[[], datetime]) -> Check:
    """Set the call's identity, or refuse the call."""

    def authenticate(call: Call) -> None:
        token = call.token = call.token or _token_of(call)
        call.identity = authenticator.resolve(token, clock())

    return authenticate


def refuse_token(call: Call) -> None:
    """Refuse a call that brings a token to the listener for certificates: its sender takes it to be looked at.

    Raises:
        Unauthenticated: it does.
    """
    if _sent(call):
        raise Unauthenticated(
            "this listener takes client certificates and no tokens; send tokens to the token listener",
            reason="TOKEN_NOT_ACCEPTED",
        )


def _token_of(call: Call) -> str:
    sent = _sent(call)
    if not sent:
        raise Unauthenticated("a bearer token is required")
    if len(sent) > 1:
        raise Unauthenticated("there must be one authorization header")
    header = sent[0]
    if not isinstance(header, str) or header[: len(SCHEME)].lower() != SCHEME or len(header) == len(SCHEME):
        raise Unauthenticated("the authorization header must be `Bearer` and a token")
    return header[len(SCHEME) :]


def _sent(call: Call) -> list[str | bytes]:
    return [value for name, value in call.metadata if name == HEADER]
