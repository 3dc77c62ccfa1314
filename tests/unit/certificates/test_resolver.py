"""Which certificates give which identity, and which give none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from cryptography import x509

from rbac.identities import IdentityKind
from server.certificates.anchors import Anchor, TrustAnchors
from server.certificates.resolver import IdentityResolver, peer_address
from server.errors import Unauthenticated
from tests.certificates_builder import CLUSTER, SERVER, Ca, CaShape, Pair, key_usage, name, now, shared_rdn

PEER = "ipv4:10.0.0.7:5123"


@dataclass
class World:
    """A host CA and a user CA of the same subject, and a resolver that trusts both."""

    host: Ca = field(default_factory=CaShape().make)
    user: Ca = field(default_factory=CaShape().make)
    local: bool = False
    serials: frozenset[str] = frozenset()
    more: tuple[Anchor, ...] = ()
    max_cached: int = 8

    def resolver(self) -> IdentityResolver:
        anchors = (
            Anchor(self.host.id, IdentityKind.COMPONENT, self.host.certificate, self.local),
            Anchor(self.user.id, IdentityKind.USER, self.user.certificate, self.local),
        )
        return IdentityResolver(TrustAnchors(anchors + self.more), CLUSTER, lambda: self.serials, self.max_cached)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def subject(*pairs: tuple[str, str]) -> x509.Name:
    return name(("CN", "alice"), ("O", "auditor"), *pairs)


def test_a_user_has_the_names_roles_and_traits_of_the_subject(world: World) -> None:
    traits = '{"logins":["root","alice"],"empty":null}'
    pair = world.user.leaf(shared_rdn(("CN", "alice"), ("O", "auditor"), ("O", "editor"), ("POSTALCODE", traits)))
    identity = world.resolver().resolve(pair.pem, PEER, now())
    assert (identity.kind, identity.name) == (IdentityKind.USER, "alice")
    assert identity.roles == {"auditor", "editor"}
    assert identity.traits == (("empty", ()), ("logins", ("root", "alice")))
    assert (identity.trust_anchor, identity.certificate_serial) == (world.user.id, pair.serial)
    assert (identity.cluster, identity.pinned_ip) == (CLUSTER, "")
    assert identity.expires == pair.certificate.not_valid_after_utc
    assert identity.not_before == pair.certificate.not_valid_before_utc


def test_a_component_is_named_by_its_id_without_the_cluster(world: World) -> None:
    pair = world.host.leaf(name(("CN", f"5e7c-1.{CLUSTER}"), ("O", "Node"), ("POSTALCODE", "null")))
    identity = world.resolver().resolve(pair.pem, PEER, now())
    assert (identity.kind, identity.name, identity.roles) == (IdentityKind.COMPONENT, "5e7c-1", {"Node"})
    assert identity.trust_anchor == world.host.id


def test_an_instance_has_its_system_roles_too(world: World) -> None:
    roles = (("O", "Instance"), ("SYSTEM_ROLE", "Node"), ("SYSTEM_ROLE", "Proxy"))
    pair = world.host.leaf(name(("CN", f"i-1.{CLUSTER}"), *roles))
    assert world.resolver().resolve(pair.pem, PEER, now()).roles == {"Instance", "Node", "Proxy"}


def test_system_role_values_count_for_an_instance_only(world: World) -> None:
    pair = world.host.leaf(name(("CN", f"i-1.{CLUSTER}"), ("O", "Node"), ("SYSTEM_ROLE", "Auth")))
    assert world.resolver().resolve(pair.pem, PEER, now()).roles == {"Node"}


ACCEPTED: dict[str, Callable[[World], Pair]] = {
    "long common name": lambda w: w.user.user("n" * 128),
    "named admin": lambda w: w.user.user("admin"),
    "empty traits": lambda w: w.user.leaf(subject(("POSTALCODE", ""))),
    "own cluster in the extension": lambda w: w.user.leaf(subject(("CLUSTER", CLUSTER))),
    "no extended key usage": lambda w: w.user.user(usage=None),
    "a key usage for signatures": lambda w: w.user.user(extension=key_usage(signs_certificates=False)),
    "no authority identifier": lambda w: w.user.user(authority_identifier=False),
    "pinned to the peer": lambda w: w.user.leaf(subject(("PINNED_IP", "10.0.0.7"))),
    "pinned to the peer as IPv6": lambda w: w.user.leaf(subject(("PINNED_IP", "::ffff:10.0.0.7"))),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_a_certificate_is_accepted(world: World, case: str) -> None:
    assert world.resolver().resolve(ACCEPTED[case](world).pem, PEER, now()).name


REFUSED: dict[str, tuple[Callable[[World], Pair], str]] = {
    "unknown CA of the same subject": (lambda _: CaShape().make().user(), "no trusted CA"),
    "self-signed": (lambda _: CaShape(subject=subject()).make(), "no trusted CA"),
    "intermediate": (lambda w: w.user.intermediate().user(), "no trusted CA"),
    "CA certificate as leaf": (lambda w: w.user.user(is_ca=True), "a CA's"),
    "key that may sign certificates": (
        lambda w: w.user.user(extension=key_usage(signs_certificates=True)),
        "a CA's",
    ),
    "anchor as leaf": (lambda w: w.user, "a CA's"),
    "server certificate": (lambda w: w.user.user(usage=SERVER), "not for clients"),
    "usage restricted": (lambda w: w.user.leaf(subject(("OU", "usage:kube"))), "restricted"),
    "usage restricted component": (
        lambda w: w.host.leaf(name(("CN", f"h.{CLUSTER}"), ("O", "Node"), ("OU", ""))),
        "restricted",
    ),
    "foreign cluster in the extension": (lambda w: w.user.leaf(subject(("CLUSTER", "leaf.test"))), "another cluster"),
    "one of two clusters is foreign": (
        lambda w: w.user.leaf(subject(("CLUSTER", CLUSTER), ("CLUSTER", "leaf.test"))),
        "another cluster",
    ),
    "no common name": (lambda w: w.user.leaf(name(("O", "auditor"))), "one common name"),
    "two common names": (lambda w: w.user.leaf(subject(("CN", "bob"))), "one common name"),
    "empty name": (lambda w: w.user.user(""), "not one a user"),
    "bidi name": (lambda w: w.user.user("al\u202eice"), "not one a user"),
    "control in the name": (lambda w: w.user.user("al\nice"), "not one a user"),
    "name too long": (lambda w: w.user.user("n" * 129), "not one a user"),
    "user named as a system role": (lambda w: w.user.user("pRoXy"), "not one a user"),
    "user with a system role": (lambda w: w.user.user(roles=("auditor", "Node")), "no user may have"),
    "user with a system role in other letters": (lambda w: w.user.user(roles=("aUTH",)), "no user may have"),
    "user with a component's name and role": (lambda w: w.user.component(), "no user may have"),
    "person of the host CA": (lambda w: w.host.user(), "not a component's"),
    "person of the host CA in the cluster": (lambda w: w.host.component(role="editor"), "no component may have"),
    "component of another cluster": (
        lambda w: w.host.leaf(name(("CN", "h.other"), ("O", "Node"))),
        "not a component's",
    ),
    "component without id": (lambda w: w.host.component(""), "not a component's"),
    "component with a user-only system role": (lambda w: w.host.component(role="Admin"), "no component may have"),
    "component role in other letters": (lambda w: w.host.component(role="node"), "no component may have"),
    "component without role": (lambda w: w.host.leaf(name(("CN", f"h.{CLUSTER}"))), "one system role"),
    "component with two roles": (
        lambda w: w.host.leaf(name(("CN", f"h.{CLUSTER}"), ("O", "Node"), ("O", "Proxy"))),
        "one system role",
    ),
    "instance with an unknown role": (
        lambda w: w.host.leaf(name(("CN", f"h.{CLUSTER}"), ("O", "Instance"), ("SYSTEM_ROLE", "Admin"))),
        "no component may have",
    ),
    "traits not JSON": (lambda w: w.user.leaf(subject(("POSTALCODE", "{"))), "not well formed"),
    "traits no object": (lambda w: w.user.leaf(subject(("POSTALCODE", "[]"))), "not well formed"),
    "traits not lists of text": (lambda w: w.user.leaf(subject(("POSTALCODE", '{"a":[1]}'))), "not well formed"),
    "traits too deep": (lambda w: w.user.leaf(subject(("POSTALCODE", "[" * 9000))), "not well formed"),
    "traits too large": (lambda w: w.user.leaf(subject(("POSTALCODE", " " * 16385))), "too large"),
    "traits twice": (lambda w: w.user.leaf(subject(("POSTALCODE", ""), ("POSTALCODE", ""))), "not well formed"),
    "pinned elsewhere": (lambda w: w.user.leaf(subject(("PINNED_IP", "10.0.0.8"))), "another address"),
    "pinned to no address": (lambda w: w.user.leaf(subject(("PINNED_IP", ""))), "not well formed"),
    "pinned twice": (
        lambda w: w.user.leaf(subject(("PINNED_IP", "10.0.0.7"), ("PINNED_IP", "10.0.0.7"))),
        "several addresses",
    ),
    "not valid yet": (lambda w: w.user.user(begins=now() + timedelta(minutes=1)), "not valid yet"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_certificate_is_refused(world: World, case: str) -> None:
    make, text = REFUSED[case]
    with pytest.raises(Unauthenticated, match=text) as caught:
        world.resolver().resolve(make(world).pem, PEER, now())
    assert caught.value.reason == "UNAUTHENTICATED"


def test_a_certificate_in_too_much_text_is_refused(world: World) -> None:
    pem = world.user.user().pem
    assert world.resolver().resolve(b"text\n" + pem, PEER, now()).name == "alice"
    with pytest.raises(Unauthenticated, match="too large"):
        world.resolver().resolve(b"text\n" * 14000 + pem, PEER, now())


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"x" * 70000])
def test_what_is_no_certificate_is_refused(world: World, pem: bytes) -> None:
    with pytest.raises(Unauthenticated):
        world.resolver().resolve(pem, PEER, now())


def test_without_the_extension_the_issuer_tells_the_cluster() -> None:
    foreign = World(user=CaShape(subject=name(("O", "leaf.test"))).make())
    with pytest.raises(Unauthenticated, match="another cluster"):
        foreign.resolver().resolve(foreign.user.user().pem, PEER, now())
    nameless = World(user=CaShape(subject=name(("CN", "c" * 80))).make())
    assert nameless.resolver().resolve(nameless.user.user().pem, PEER, now()).name == "alice"


def test_expiry_is_seen_on_a_cached_certificate(world: World) -> None:
    pair = world.user.user()
    resolver = world.resolver()
    end = pair.certificate.not_valid_after_utc
    assert resolver.resolve(pair.pem, PEER, end).name == "alice"
    with pytest.raises(Unauthenticated) as caught:
        resolver.resolve(pair.pem, PEER, end + timedelta(seconds=1))
    assert caught.value.reason == "CERTIFICATE_EXPIRED"


def test_nothing_outlives_its_ca() -> None:
    world = World(user=CaShape(ends=now() + timedelta(minutes=1)).make())
    resolver, pem = world.resolver(), world.user.user().pem
    assert resolver.resolve(pem, PEER, now()).name == "alice"
    with pytest.raises(Unauthenticated) as caught:
        resolver.resolve(pem, PEER, now() + timedelta(minutes=2))
    assert caught.value.reason == "CERTIFICATE_EXPIRED"


def test_nothing_begins_before_its_ca() -> None:
    world = World(user=CaShape(begins=now() + timedelta(minutes=1)).make())
    with pytest.raises(Unauthenticated, match="not valid yet"):
        world.resolver().resolve(world.user.user().pem, PEER, now())


def test_a_renewed_ca_certificate_of_the_same_key_is_the_same_anchor(world: World) -> None:
    anchor = Anchor(world.user.id, IdentityKind.USER, world.user.certificate, local=False)
    twice = World(world.host, world.user, more=(anchor,))
    assert twice.resolver().resolve(twice.user.user().pem, PEER, now()).trust_anchor == world.user.id


def test_a_pinned_address_is_checked_on_every_call(world: World) -> None:
    resolver, pem = world.resolver(), world.user.leaf(subject(("PINNED_IP", "::1"))).pem
    assert resolver.resolve(pem, "ipv6:%5B::1%5D:55", now()).pinned_ip == "::1"
    for peer in ("ipv6:%5B::2%5D:55", "unix:/run/x", "ipv4:127.0.0.1:1", ""):
        with pytest.raises(Unauthenticated):
            resolver.resolve(pem, peer, now())


def test_what_a_local_ca_signed_must_be_on_record_at_every_call() -> None:
    world = World(local=True)
    resolver, pair = world.resolver(), world.user.user()
    with pytest.raises(Unauthenticated, match="not on record"):
        resolver.resolve(pair.pem, PEER, now())
    world.serials = frozenset({pair.serial})
    assert resolver.resolve(pair.pem, PEER, now()).certificate_serial == pair.serial
    world.serials = frozenset()
    with pytest.raises(Unauthenticated, match="not on record"):
        resolver.resolve(pair.pem, PEER, now())


def test_the_cache_is_bounded_and_keeps_what_is_used() -> None:
    world = World(max_cached=2)
    resolver = world.resolver()
    kept, first, second = (world.user.user(f"user-{n}") for n in range(3))
    for pair in (kept, first, kept, second):
        resolver.resolve(pair.pem, PEER, now())
    assert list(resolver._leaves) == [kept.pem, second.pem]


def test_a_certificate_that_is_known_is_read_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes with every call, and reading it takes a hundred times as long as all else that is done with it."""
    resolver, pem = world.resolver(), world.user.user().pem
    first = resolver.resolve(pem, PEER, now())
    monkeypatch.setattr("server.certificates.resolver.read_leaf", lambda *_: pytest.fail("it is known"))
    again = bytes(bytearray(pem))  # gRPC makes new bytes for every call
    assert resolver.resolve(again, PEER, now()) is first


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:1.2.3.4:55", "1.2.3.4"),
        ("ipv6:[::1]:55", "::1"),
        ("ipv6:%5B::1%5D:55", "::1"),
        ("ipv6:[::ffff:1.2.3.4]:55", "1.2.3.4"),
        ("ipv6:[fe80::1%25eth0]:55", "fe80::1"),
        ("unix:/run/socket", ""),
        ("ipv4:", ""),
        ("", ""),
    ],
)
def test_the_address_in_a_peers_name(peer: str, address: str) -> None:
    assert peer_address(peer) == address


@pytest.mark.parametrize("named", ["alice@https://id.test", "a@b@https://id.test"])
def test_a_certificate_does_not_give_the_name_of_a_token_issuers_user(world: World, named: str) -> None:
    anchors = TrustAnchors((Anchor(world.user.id, IdentityKind.USER, world.user.certificate, local=False),))
    resolver = IdentityResolver(anchors, CLUSTER, frozenset, token_issuers=("https://b.test", "https://id.test"))
    with pytest.raises(Unauthenticated, match="the certificate's name is that of a token issuer's user"):
        resolver.resolve(world.user.user(named).pem, PEER, now())
    assert resolver.resolve(world.user.user("alice@id.test").pem, PEER, now()).name == "alice@id.test"
    assert world.resolver().resolve(world.user.user(named).pem, PEER, now()).name == named
