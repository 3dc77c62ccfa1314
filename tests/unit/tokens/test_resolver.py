"""From a token to its user on every call: what is remembered of a token, and what ends it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from rbac.identities import Identity
from server.config import TokenIssuer
from server.errors import AuditStoreError, NotKnownYet, Unauthenticated, Unavailable
from server.tokens import resolver as module
from server.tokens.issuer_keys import MAX_AGE_SECONDS, IssuerKeys
from server.tokens.resolver import TokenResolver, TrustedIssuer
from tests.loops import in_loop
from tests.tokens_builder import (
    ISSUER,
    MISSING,
    KeySetNotes,
    MemorySource,
    ec_key,
    ed_key,
    encoded,
    issuer,
    jwks,
    rsa_key,
)

KEY, OTHER = ec_key("one"), ec_key("two")


@dataclass
class Rig:
    """A resolver of one issuer, or of those given, all with the keys of one source."""

    settings: Sequence[TokenIssuer] = (issuer(),)
    qualified: bool = False
    max_cached: int = 100
    source: MemorySource = field(default_factory=lambda: MemorySource(jwks(KEY)))
    now: float = 1_000.0

    def __post_init__(self) -> None:
        self.keys = [
            IssuerKeys(each.issuer, self.source, KeySetNotes(), clock=lambda: self.now) for each in self.settings
        ]
        trusted = [TrustedIssuer(*each) for each in zip(self.settings, self.keys, strict=True)]
        skew = timedelta(seconds=30)
        self.resolver = TokenResolver(trusted, skew, qualified=self.qualified, max_cached=self.max_cached)

    async def fetch(self) -> Rig:
        for keys in self.keys:
            await keys.refresh()
        return self

    def resolve(self, token: str, later: float = 0) -> Identity:
        return self.resolver.resolve(token, datetime.now(UTC) + timedelta(seconds=later))

    def refusal(self, token: str, later: float = 0) -> AuditStoreError:
        with pytest.raises(AuditStoreError) as caught:
            self.resolve(token, later)
        return caught.value


@in_loop
async def test_a_token_gives_the_same_identity_on_every_call() -> None:
    rig = await Rig().fetch()
    token = KEY.token()
    assert rig.resolve(token) is rig.resolve(token)
    assert rig.resolve(token).name == "alice"


@in_loop
async def test_a_token_is_verified_once_however_often_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = module.is_signed_by
    monkeypatch.setattr(module, "is_signed_by", lambda token, key: verified.append(token.text) or real(token, key))
    rig = await Rig().fetch()
    token = KEY.token()
    for _ in range(10):
        rig.resolve(token)
    assert verified == [token]


@in_loop
async def test_what_is_remembered_is_bounded_and_holds_no_token() -> None:
    rig = await Rig(max_cached=2).fetch()
    tokens = [KEY.token(jti=f"t-{number}") for number in range(4)]
    for token in tokens:
        rig.resolve(token)
    remembered = rig.resolver._verified
    assert [verified.identity.token_id for verified in remembered.values()] == ["t-2", "t-3"]
    assert not any(token in repr(remembered) for token in tokens)


@in_loop
async def test_a_refused_token_is_not_remembered() -> None:
    rig = await Rig().fetch()
    rig.refusal(KEY.token(aud="other"))
    rig.refusal(OTHER.token({"kid": "one"}))
    assert not rig.resolver._verified


@in_loop
async def test_a_token_ends_with_its_exp_and_the_allowance() -> None:
    rig = await Rig().fetch()
    begun = int(time.time())
    token = KEY.token(exp=begun + 100)
    for seconds in (0, 129):
        rig.resolver.resolve(token, datetime.fromtimestamp(begun + seconds, UTC))
    with pytest.raises(Unauthenticated) as refused:
        rig.resolver.resolve(token, datetime.fromtimestamp(begun + 131, UTC))
    assert refused.value.reason == "TOKEN_EXPIRED"
    assert rig.refusal(KEY.token(iat=1_000, exp=2_000)).reason == "TOKEN_EXPIRED"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@in_loop
async def test_a_token_does_not_count_before_its_time(claim: str) -> None:
    rig = await Rig().fetch()
    token = KEY.token(**{claim: int(time.time()) + 100})
    assert rig.refusal(token).message == "the token is not valid yet"
    assert rig.resolve(token, later=72)


@in_loop
async def test_a_dropped_key_ends_its_tokens_at_once() -> None:
    rig = await Rig().fetch()
    token = KEY.token()
    rig.resolve(token)
    rig.source.document = jwks(OTHER)
    await rig.fetch()
    assert isinstance(rig.refusal(token), NotKnownYet)
    assert rig.resolve(OTHER.token())


@in_loop
async def test_another_key_under_the_id_ends_the_tokens_of_the_one_before() -> None:
    rig = await Rig().fetch()
    token = KEY.token()
    rig.resolve(token)
    rig.source.document = jwks(ec_key("one"))
    await rig.fetch()
    assert rig.refusal(token).message == "the token's signature is wrong"


@in_loop
async def test_keys_too_old_to_count_end_all_tokens_as_unavailable() -> None:
    rig = await Rig().fetch()
    token = KEY.token()
    rig.resolve(token)
    rig.now += MAX_AGE_SECONDS
    refusal = rig.refusal(token)
    assert (type(refusal), refusal.reason) == (Unavailable, "TOKEN_KEYS_UNAVAILABLE")


@in_loop
async def test_an_unknown_key_may_be_learned() -> None:
    rig = await Rig().fetch()
    rig.source.document = jwks(KEY, OTHER)
    refusal = rig.refusal(OTHER.token())
    assert isinstance(refusal, NotKnownYet)
    await refusal.learn()
    assert rig.resolve(OTHER.token()).name == "alice"


@pytest.mark.parametrize("value", ["https://id.test/", "https://ID.test", "", None, 5, [ISSUER], MISSING])
@in_loop
async def test_the_issuer_is_exactly_a_configured_one(value: object) -> None:
    rig = await Rig().fetch()
    assert rig.refusal(KEY.token(iss=value)).message == "the token is of an issuer that is not trusted here"


@in_loop
async def test_an_issuers_key_does_not_sign_for_another_issuer() -> None:
    rig = Rig((issuer(), issuer(issuer="https://b.test")))
    await rig.keys[0].refresh()
    rig.source.document = jwks(OTHER)
    await rig.keys[1].refresh()
    assert rig.resolve(KEY.token())
    assert isinstance(rig.refusal(KEY.token(iss="https://b.test")), NotKnownYet)
    assert rig.refusal(KEY.token({"kid": "two"}, iss="https://b.test")).message == "the token's signature is wrong"


@in_loop
async def test_the_same_name_of_two_issuers_is_two_users() -> None:
    rig = await Rig((issuer(), issuer(issuer="https://b.test")), qualified=True).fetch()
    one, other = rig.resolve(KEY.token()), rig.resolve(KEY.token(iss="https://b.test"))
    assert (one.name, other.name) == ("alice@https://id.test", "alice@https://b.test")
    assert one.key != other.key
    # A subject that looks like another issuer's user is still told from it.
    disguised = rig.resolve(KEY.token(sub="alice@https://b.test"))
    assert disguised.name == "alice@https://b.test@https://id.test"


@in_loop
async def test_keys_of_one_id_are_all_tried() -> None:
    keys = [rsa_key(""), ec_key(""), ed_key(""), ec_key("")]
    rig = await Rig(source=MemorySource(jwks(*keys))).fetch()
    for key in keys:
        assert rig.resolve(key.token({"kid": MISSING}, jti=key.algorithm)).name == "alice"
    assert rig.refusal(ec_key("").token()).message == "the token's signature is wrong"


@in_loop
async def test_a_token_without_a_key_id_finds_no_key_that_has_one() -> None:
    rig = await Rig().fetch()
    assert isinstance(rig.refusal(KEY.token({"kid": MISSING})), NotKnownYet)


@in_loop
async def test_another_signature_of_the_same_content_has_the_same_token_id() -> None:
    """From an ES256 signature anyone can make a second one; a lock on the token's id must bar both."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    rig = await Rig().fetch()
    content = KEY.token(jti=MISSING).rpartition(".")[0]
    signature = KEY.sign(content.encode())
    other = signature[:32] + (order - int.from_bytes(signature[32:])).to_bytes(32)
    one, two = (rig.resolve(f"{content}.{encoded(each)}") for each in (signature, other))
    assert one.token_id == two.token_id
    assert one.token_id.startswith("sha256:")
