"""A server with a listener for tokens, and an issuer whose keys it asks for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload

from server.tokens.token_issuers import TokenIssuers
from tests.grpc.failures import Failure, failing
from tests.grpc.rig import Rig, serving
from tests.jwks_server import JwksServer
from tests.tokens_builder import (
    KeySetNotes,
    ec_key,
    ed_key,
    issuer,
    jwks,
    rsa_key,
)

Codes = grpc.StatusCode
RSA, EC, ED = rsa_key("rsa"), ec_key("ec"), ed_key("ed")
SEARCH = pb.SearchEventsRequest()
EMIT = pb.EmitEventRequest(event=EventPayload(json=b"{}"))


@dataclass
class TokenRig:
    """The server, the issuer's key server, and what checks tokens."""

    rig: Rig
    keys: JwksServer
    tokens: TokenIssuers

    def stub(self, channel: grpc.aio.Channel) -> Any:
        return AuditLogServiceStub(channel)


@contextlib.asynccontextmanager
async def token_rig(folder: Path, *, qualified: bool = False, **options: Any) -> AsyncIterator[TokenRig]:
    with JwksServer(folder, jwks(RSA, EC, ED)) as keys:
        settings = issuer(jwks_url=keys.url, jwks_ca=keys.ca)
        tokens = TokenIssuers([settings], timedelta(seconds=30), qualified=qualified, trace=KeySetNotes())
        await tokens.refresh()
        async with serving(tokens=tokens, **options) as rig:
            yield TokenRig(rig, keys, tokens)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def refused(rig: TokenRig, metadata: Sequence[tuple[str, str]]) -> Failure:
    """How a search ends that brings this metadata to the listener for tokens; nothing may be touched."""
    async with rig.rig.token_channel() as channel:
        failure = await failing(rig.stub(channel).SearchEvents(SEARCH, metadata=metadata))
    assert not rig.rig.touched
    return failure
