"""Tokens over real sockets, with keys from a real server over TLS: which get how far, and what ends them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from rbac.identities import IdentityKind
from server.grpc_api.pipeline import WATCHES
from server.grpc_api.server import Limits
from tests.grpc.failures import failing
from tests.grpc.token_rig import EC, ED, EMIT, RSA, SEARCH, Codes, bearer, refused, token_rig
from tests.loops import in_loop, until
from tests.tokens_builder import (
    AUDIENCE,
    ISSUER,
    MISSING,
    SigningKey,
    assemble,
    encoded,
    hmac_with,
    right_claims,
    rsa_key,
)

FOREIGN = rsa_key("foreign")
OWN_ISSUER = "https://audit.test"


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=["RS256", "ES256", "EdDSA"])
@in_loop
async def test_a_token_gives_a_user_with_the_roles_of_its_claim(tmp_path: Path, key: SigningKey) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        await rig.stub(channel).EmitEvent(EMIT, metadata=bearer(key.token()))
        await rig.stub(channel).SearchEvents(SEARCH, metadata=bearer(key.token(roles=["auditor"])))
        denied = await failing(rig.stub(channel).EmitEvent(EMIT, metadata=bearer(key.token(roles=["auditor"]))))
        [access] = rig.rig.intake.accesses
    assert (access.identity.kind, access.identity.name) == (IdentityKind.USER, "alice")
    assert (access.identity.trust_anchor, access.identity.token_id) == (ISSUER, "token-1")
    assert denied.code is Codes.PERMISSION_DENIED


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
@in_loop
async def test_the_scheme_is_bearer_in_any_letter_case(tmp_path: Path, scheme: str) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        await rig.stub(channel).SearchEvents(SEARCH, metadata=(("authorization", f"{scheme} {RSA.token()}"),))


def confusions() -> dict[str, tuple[str, str]]:
    """Wrong tokens by what is wrong, each with the text of its refusal."""
    now = int(time.time())
    public = json.dumps(RSA.jwk()).encode()
    not_trusted = "the token is of an issuer that is not trusted here"
    algorithm = "the token's algorithm is not its key's"
    exp = "the token must have exp, a time in seconds since 1970"
    return {
        "alg none": (
            assemble({"alg": "none", "kid": "rsa"}, right_claims(), lambda _: b"")[:-1] + ".",
            "the token is not a signed JWT",
        ),
        "alg none with a signature": (
            assemble({"alg": "none", "kid": "rsa"}, right_claims(), lambda _: b"x"),
            algorithm,
        ),
        "HS256 with the public key in PEM as secret": (
            assemble({"alg": "HS256", "kid": "rsa"}, right_claims(), hmac_with(RSA.public_pem)),
            algorithm,
        ),
        "HS256 with the JWK as secret": (
            assemble({"alg": "HS256", "kid": "rsa"}, right_claims(), hmac_with(public)),
            algorithm,
        ),
        "an RSA key with RS512": (RSA.token({"alg": "RS512"}), algorithm),
        "an RSA key with PS256": (RSA.token({"alg": "PS256"}), algorithm),
        "an RSA key with ES256": (RSA.token({"alg": "ES256"}), algorithm),
        "an EC key with RS256": (EC.token({"alg": "RS256"}), algorithm),
        "an EC key with EdDSA": (EC.token({"alg": "EdDSA"}), algorithm),
        "another audience": (RSA.token(aud="other"), "the token is for another audience"),
        "no audience": (RSA.token(aud=MISSING), "the token is for another audience"),
        "another issuer": (RSA.token(iss="https://evil.test"), not_trusted),
        "an issuer that begins alike": (RSA.token(iss=f"{ISSUER}.evil.test"), not_trusted),
        "the service's own issuer": (RSA.token(iss=OWN_ISSUER), not_trusted),
        "no issuer": (RSA.token(iss=MISSING), not_trusted),
        "stripped exp": (RSA.token(exp=MISSING), exp),
        "exp as a text": (RSA.token(exp=str(now + 60)), exp),
        "stripped iat": (RSA.token(iat=MISSING), "the token must have iat, a time in seconds since 1970"),
        "exp too far": (
            RSA.token(exp=now + 24 * 3600 + 60, iat=now),
            "the token's exp must come after its iat, by at most 24 hours",
        ),
        "expired": (RSA.token(iat=now - 3600, exp=now - 60), "the token has expired"),
        "not yet valid by nbf": (RSA.token(nbf=now + 1800), "the token is not valid yet"),
        "issued in the future": (RSA.token(iat=now + 1800), "the token is not valid yet"),
        "foreign key, foreign kid": (FOREIGN.token(), "the token is signed with a key that its issuer doesn't have"),
        "foreign key, known kid": (FOREIGN.token({"kid": "rsa"}), "the token's signature is wrong"),
        "no kid": (RSA.token({"kid": MISSING}), "the token is signed with a key that its issuer doesn't have"),
        "kid of another key": (EC.token({"kid": "ed", "alg": "EdDSA"}), "the token's signature is wrong"),
        **{
            f"header {name}": (
                FOREIGN.token({name: value, "kid": "rsa"}),
                f"the token's header has {name}, which no token may have here",
            )
            for name, value in (
                ("jku", "https://evil.test/keys"),
                ("x5u", "https://evil.test/chain"),
                ("jwk", FOREIGN.jwk()),
                ("x5c", ["AAAA"]),
                ("crit", ["exp"]),
            )
        },
        "claims changed after signing": (
            ".".join((RSA.token().split(".")[0], EC.token(sub="root").split(".")[1], RSA.token().split(".")[2])),
            "the token's signature is wrong",
        ),
        "oversize": (RSA.token(pad="x" * 5_100), "the token is larger than 7168 bytes"),
        "garbage": ("garbage", "the token is not a signed JWT"),
        "encrypted": (".".join([encoded(b"{}")] * 5), "the token is not a signed JWT"),
        "a key given twice": (
            assemble({"alg": "RS256", "kid": "rsa"}, json.dumps(right_claims())[:-1] + ', "sub": "root"}', RSA.sign),
            "the token is not a signed JWT",
        ),
        "no roles claim": (RSA.token(roles=MISSING), "the token lacks the claim that roles come from"),
        "a system role": (RSA.token(roles=["auditor", "Proxy"]), "the token claims a role that no user may have"),
        "a name like a system role": (RSA.token(sub="Node"), "the token's name is not one a user may have"),
        "no name": (RSA.token(sub=MISSING), "the token's name is not one a user may have"),
    }


CONFUSIONS = confusions()


@pytest.mark.parametrize("wrong", CONFUSIONS)
@in_loop
async def test_a_wrong_token_is_unauthenticated_and_touches_nothing(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, text = CONFUSIONS[wrong]
    async with token_rig(tmp_path) as rig:
        failure = await refused(rig, bearer(token))
        await until(lambda: rig.rig.records.calls)
    reason = "TOKEN_EXPIRED" if wrong == "expired" else "UNAUTHENTICATED"
    assert (failure.code, failure.reason, failure.message) == (Codes.UNAUTHENTICATED, reason, text)
    assert [record.identity for record in rig.rig.records.calls] == [None]
    assert not any(part in str([vars(each) for each in caplog.records]) for part in token.split(".") if len(part) > 8)


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ((), "a bearer token is required"),
        (("Bearer {token}", "Bearer {token}"), "there must be one authorization header"),
        (("Bearer garbage", "Bearer {token}"), "there must be one authorization header"),
        (("{token}",), "the authorization header must be `Bearer` and a token"),
        (("Basic {token}",), "the authorization header must be `Bearer` and a token"),
        (("Bearer",), "the authorization header must be `Bearer` and a token"),
        (("Bearer {token}, Bearer {token}",), "the token is not a signed JWT"),
        (("Bearer  {token}",), "the token is not a signed JWT"),
        (("Bearer {token} x",), "the token is not a signed JWT"),
    ],
)
@in_loop
async def test_there_is_one_authorization_header_with_one_token(
    tmp_path: Path, headers: tuple[str, ...], text: str
) -> None:
    token = EC.token()
    async with token_rig(tmp_path) as rig:
        failure = await refused(rig, [("authorization", header.format(token=token)) for header in headers])
    assert (failure.code, failure.reason, failure.message) == (Codes.UNAUTHENTICATED, "UNAUTHENTICATED", text)


@in_loop
async def test_a_certificate_does_not_help_on_the_listener_for_tokens(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel(pair=rig.rig.user_ca.user()) as channel:
        failure = await failing(rig.stub(channel).SearchEvents(SEARCH))
        assert not rig.rig.touched
    assert (failure.code, failure.message) == (Codes.UNAUTHENTICATED, "a bearer token is required")


@pytest.mark.parametrize("header", ["Bearer x", "Basic x", "", RSA.token()])
@in_loop
async def test_a_token_on_the_listener_for_certificates_is_refused_whatever_the_certificate(
    tmp_path: Path, header: str
) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.user("auditor") as channel:
        failure = await failing(rig.stub(channel).SearchEvents(SEARCH, metadata=(("authorization", header),)))
        assert not rig.rig.touched
        await rig.stub(channel).SearchEvents(SEARCH)
    assert (failure.code, failure.reason) == (Codes.UNAUTHENTICATED, "TOKEN_NOT_ACCEPTED")
    assert failure.message == "this listener takes client certificates and no tokens; send tokens to the token listener"


@in_loop
async def test_plain_text_reaches_nothing_on_the_listener_for_tokens(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig:
        async with grpc.aio.insecure_channel(f"localhost:{rig.rig.server.token_port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await rig.stub(channel).SearchEvents(SEARCH, metadata=bearer(RSA.token()))
        assert rig.rig.records.calls == []
    assert caught.value.code() is Codes.UNAVAILABLE


@in_loop
async def test_both_listeners_serve_the_same_methods_and_health(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as channel:
        answer = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        unknown = await failing(channel.unary_unary("/x.Y/Z")(b"", metadata=bearer(RSA.token())))
        anonymous = await failing(channel.unary_unary("/x.Y/Z")(b""))
    assert (unknown.code, anonymous.code) == (Codes.UNIMPLEMENTED, Codes.UNAUTHENTICATED)


@in_loop
async def test_whoever_has_all_watches_of_health_keeps_nobody_from_a_check(tmp_path: Path) -> None:
    request = health_pb2.HealthCheckRequest()
    async with token_rig(tmp_path) as rig, rig.rig.token_channel() as stranger, rig.rig.node() as node:
        watches = [HealthStub(stranger).Watch(request) for _ in range(WATCHES)]
        await asyncio.gather(*(watch.read() for watch in watches))
        answers = [await HealthStub(channel).Check(request) for channel in (node, stranger)]
        failures = [await failing(HealthStub(channel).Watch(request).read()) for channel in (node, stranger)]
        for watch in watches:
            watch.cancel()
    assert [answer.status for answer in answers] == [health_pb2.HealthCheckResponse.SERVING] * 2
    assert [failure.reason for failure in failures] == ["OVERLOADED"] * 2


@in_loop
async def test_one_limit_holds_for_both_listeners(tmp_path: Path) -> None:
    limits = Limits(max_concurrent_calls=1)
    async with (
        token_rig(tmp_path, holds=True, limits=limits) as rig,
        rig.rig.token_channel() as channel,
        rig.rig.user("auditor") as other,
    ):
        call = rig.stub(channel).EmitEvent(EMIT, metadata=bearer(RSA.token()))
        await until(lambda: rig.rig.intake.accesses)
        overload = await failing(rig.stub(other).SearchEvents(SEARCH))
        call.cancel()
    assert (overload.code, overload.reason) == (Codes.RESOURCE_EXHAUSTED, "OVERLOADED")


@in_loop
async def test_a_token_and_a_certificate_of_one_name_are_two_users(tmp_path: Path) -> None:
    async with token_rig(tmp_path, qualified=True) as rig:
        async with rig.rig.token_channel() as channel, rig.rig.user("importer") as certified:
            await rig.stub(channel).EmitEvent(EMIT, metadata=bearer(RSA.token(sub="alice")))
            await rig.stub(certified).EmitEvent(EMIT)
        token, certificate = (access.identity for access in rig.rig.intake.accesses)
    assert (token.name, certificate.name) == (f"alice@{ISSUER}", "alice")
    assert token.key != certificate.key


@in_loop
async def test_a_role_that_is_not_loaded_is_refused_as_with_a_certificate(tmp_path: Path) -> None:
    async with token_rig(tmp_path) as rig:
        for roles in ([], ["auditor", "nosuch"], ["nosuch"]):
            failure = await refused(rig, bearer(RSA.token(roles=roles)))
            assert (failure.code, failure.reason) == (Codes.PERMISSION_DENIED, "ACCESS_DENIED")


def test_the_audience_of_these_tests_is_the_one_of_the_builder() -> None:
    assert right_claims()["aud"] == AUDIENCE
