"""Streams and keys of tokens: what ends a stream, which keys are known, and how often they are asked for."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.event_pb2 import EventPayload

from server.tokens.token_issuers import TokenIssuers
from tests.grpc.failures import Failure, failing
from tests.grpc.rig import serving
from tests.grpc.token_rig import EC, EMIT, RSA, SEARCH, Codes, bearer, refused, token_rig
from tests.loops import in_loop
from tests.tokens_builder import (
    KeySetNotes,
    ec_key,
    issuer,
    jwks,
)


def message(number: int) -> pb.EmitEventsRequest:
    return pb.EmitEventsRequest(message_number=number, events=[EventPayload(json=b"{}")])


async def end_of(stream: Any) -> Failure:
    """How a stream ends, whatever it acknowledged before."""

    async def read() -> None:
        while await stream.read() is not grpc.aio.EOF:
            """What was acknowledged is not asked here."""

    return await failing(read())


@in_loop
async def test_a_token_that_expires_ends_a_stream_at_its_next_message(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        stream = rig.stub(channel).EmitEvents(metadata=bearer(RSA.token()))
        await stream.write(message(1))
        await stream.read()
        rig.rig.look_no_more()
        rig.rig.clock.offset = timedelta(hours=2)
        await stream.write(message(2))
        failure = await end_of(stream)
    assert (failure.code, failure.reason) == (Codes.UNAUTHENTICATED, "TOKEN_EXPIRED")
    assert len(rig.rig.intake.events) == 1


@in_loop
async def test_a_token_that_expires_ends_a_stream_that_sends_nothing(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        stream = rig.stub(channel).EmitEvents(metadata=bearer(RSA.token()))
        await stream.write(message(1))
        await stream.read()
        rig.rig.clock.offset = timedelta(hours=2)
        failure = await asyncio.wait_for(end_of(stream), 60)
    assert (failure.code, failure.reason) == (Codes.UNAUTHENTICATED, "TOKEN_EXPIRED")


@in_loop
async def test_a_key_that_vanished_ends_calls_and_streams_of_its_tokens(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        token = RSA.token()
        stream = rig.stub(channel).EmitEvents(metadata=bearer(token))
        await stream.write(message(1))
        await stream.read()
        rig.rig.look_no_more()
        rig.keys.document = jwks(EC)
        await rig.tokens.refresh()
        await stream.write(message(2))
        failure = await end_of(stream)
        unary = await failing(rig.stub(channel).EmitEvent(EMIT, metadata=bearer(token)))
        await rig.stub(channel).EmitEvent(EMIT, metadata=bearer(EC.token()))
    assert (failure.code, unary.code) == (Codes.UNAUTHENTICATED, Codes.UNAUTHENTICATED)
    assert failure.message == unary.message == "the token is signed with a key that its issuer doesn't have"


@in_loop
async def test_a_new_key_is_known_at_its_first_token(tmp_path: Path) -> None:
    new = ec_key("new")
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        rig.keys.document = jwks(RSA, new)
        await rig.stub(channel).SearchEvents(SEARCH, metadata=bearer(new.token()))
        stream = rig.stub(channel).EmitEvents(metadata=bearer(new.token()))
        await stream.write(message(1))
        await stream.read()
    assert len(rig.keys.requests) == 2


@in_loop
async def test_unknown_keys_are_asked_for_once_in_thirty_seconds(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig:
        for number in range(5):
            failure = await refused(rig, bearer(ec_key(f"unknown-{number}").token()))
            assert failure.code is Codes.UNAUTHENTICATED
    assert len(rig.keys.requests) == 2


@in_loop
async def test_without_an_issuers_keys_its_tokens_are_unavailable_and_certificates_serve(tmp_path: Path) -> None:
    tokens = TokenIssuers(
        [issuer(jwks_url="https://localhost:1/keys")], timedelta(), qualified=False, trace=KeySetNotes()
    )
    await tokens.refresh()
    async with serving(tokens=tokens) as rig, rig.token_channel() as channel, rig.user("auditor") as certified:
        failure = await failing(AuditLogServiceStub(channel).SearchEvents(SEARCH, metadata=bearer(RSA.token())))
        await AuditLogServiceStub(certified).SearchEvents(SEARCH)
    assert (failure.code, failure.reason) == (Codes.UNAVAILABLE, "TOKEN_KEYS_UNAVAILABLE")
    assert failure.retry_seconds == 30
