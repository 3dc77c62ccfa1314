"""All certificates in force as one: handshakes and identities follow the same files and change together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from threading import Lock
from typing import NamedTuple, TypeVar

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from rbac.identities import Identity, IdentityKind
from server.certificates.anchors import TrustAnchors, load_anchors
from server.certificates.problems import CertificateProblem
from server.certificates.resolver import IdentityResolver, Learn, learn_nothing
from server.certificates.server_credentials import ServerPair, configuration, credentials, load_server_pair
from server.certificates.signing import milliseconds
from server.certificates.sources import CertificateSources
from server.certificates.subjects import subject_text
from server.certificates.watched_files import WatchedFiles

HANDSHAKE_CHECK_SECONDS = 0.5
"""Handshakes look at the files at most this often, so that a storm of them costs no storm of stats."""

_Loaded = TypeVar("_Loaded")
_USES = {IdentityKind.COMPONENT: "host_ca", IdentityKind.USER: "user_ca"}


class StateOfCertificate(NamedTuple):
    """A certificate in force: use is `server`, `public`, `operations`, `host_ca` or `user_ca`.

    sha256 is its DER's digest in hex.
    """

    use: str
    subject: str
    expires_ms: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _InForce:
    """What was loaded last, swapped as a whole."""

    anchors: TrustAnchors
    pair: ServerPair
    resolver: IdentityResolver
    configuration: grpc.ServerCertificateConfiguration
    without_clients: grpc.ServerCertificateConfiguration
    """For the listener that asks for no client certificate."""


class Certificates:
    """The server's certificate and the trust anchors, reloaded when their files change.

    A removed CA's identities are refused on open connections too, from the first call after the reload: the app calls
    `reload_if_changed` a few times a second and every handshake looks as well. A broken new file leaves what was loaded
    before in force and is told to `on_problem`, once for each change. Safe to use from several threads.
    """

    def __init__(
        self,
        sources: CertificateSources,
        cluster_name: str,
        serials: Callable[[], frozenset[str]],
        on_problem: Callable[[str], None],
        *,
        account: int | None = None,
        token_issuers: Sequence[str] = (),
        learn: Learn = learn_nothing,
        on_change: Callable[[Sequence[StateOfCertificate], Sequence[StateOfCertificate]], None] = lambda *_: None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Load everything. CertificateProblem if anything is wrong: a server doesn't start with a part of it.

        `account`: the service's, see `load_anchors`.
        No certificate gives a user the name that a token of `token_issuers` would give. `learn`: see IdentityResolver.
        `on_change` is told the certificates that are no longer in force and those that newly are; it must not wait.
        """
        self._sources = sources
        self._cluster = cluster_name
        self._serials = serials
        self._account = account
        self._on_problem = on_problem
        self._token_issuers = tuple(token_issuers)
        self._learn = learn
        self._on_change = on_change
        self._clock = clock
        self._now = now
        self._lock = Lock()
        self._anchor_files = WatchedFiles([*sources.host_cas, *sources.user_cas])
        self._pair_files = WatchedFiles([sources.certificate, sources.key])
        self._problems: dict[str, str] = {}
        self._anchor_files.changed()
        self._pair_files.changed()
        self._checked = clock()
        anchors, pair = self._load_anchors(), self._load_pair()
        self._in_force = _InForce(
            anchors, pair, self._resolver(anchors), configuration(pair, anchors.bundle), configuration(pair, None)
        )

    def resolve(self, pem: bytes, peer: str, now: datetime) -> Identity:
        """As IdentityResolver.resolve, with the anchors in force."""
        return self._in_force.resolver.resolve(pem, peer, now)

    @property
    def give_user_names(self) -> bool:
        """Whether a user CA is configured, whatever its file holds now."""
        return bool(self._sources.user_cas)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials for one listener; they follow the files."""
        return credentials(lambda: self._at_handshake().configuration)

    def token_credentials(self) -> grpc.ServerCredentials:
        """Credentials for the listener whose callers bring tokens: they ask for no client certificate."""
        return credentials(lambda: self._at_handshake().without_clients, client_certificates=False)

    def reload_if_changed(self) -> bool:
        """Look at the files and load those that changed; blocks. Says whether anything new is in force."""
        with self._lock:
            self._checked = self._clock()
            before, states = self._in_force, self.certificate_states()
            if self._anchor_files.changed() and (anchors := self._try("anchors", self._load_anchors)):
                self._in_force = replace(
                    self._in_force,
                    anchors=anchors,
                    resolver=self._resolver(anchors),
                    configuration=configuration(self._in_force.pair, anchors.bundle),
                )
            if self._pair_files.changed() and (pair := self._try("pair", self._load_pair)):
                self._in_force = replace(
                    self._in_force,
                    pair=pair,
                    configuration=configuration(pair, self._in_force.anchors.bundle),
                    without_clients=configuration(pair, None),
                )
            if self._in_force is before:
                return False
            self._tell_of_change(states, self.certificate_states())
            return True

    def problems(self) -> tuple[str, ...]:
        """What is wrong with the files now, while older ones stay in force."""
        return tuple(self._problems.values())

    def certificate_states(self) -> list[StateOfCertificate]:
        """Every certificate in force with its end."""
        current = self._in_force
        found = [("server", current.pair.certificate)]
        found += [(_USES[anchor.kind], anchor.certificate) for anchor in current.anchors.anchors]
        return [_state(use, certificate) for use, certificate in found]

    def _tell_of_change(self, before: Sequence[StateOfCertificate], after: Sequence[StateOfCertificate]) -> None:
        removed, added = [old for old in before if old not in after], [new for new in after if new not in before]
        if removed or added:  # a file that was only written anew changes nothing
            self._on_change(removed, added)

    def _at_handshake(self) -> _InForce:
        if self._clock() - self._checked >= HANDSHAKE_CHECK_SECONDS:
            self.reload_if_changed()
        return self._in_force

    def _load_anchors(self) -> TrustAnchors:
        return load_anchors(self._sources.host_cas, self._sources.user_cas, self._sources.local, self._account)

    def _load_pair(self) -> ServerPair:
        return load_server_pair(self._sources.certificate, self._sources.key, self._now())

    def _resolver(self, anchors: TrustAnchors) -> IdentityResolver:
        issuers = self._token_issuers
        return IdentityResolver(anchors, self._cluster, self._serials, token_issuers=issuers, learn=self._learn)

    def _try(self, what: str, load: Callable[[], _Loaded]) -> _Loaded | None:
        try:
            loaded = load()
        except (UnsupportedAlgorithm, x509.DuplicateExtension):
            problem_text = "a certificate holds what this version can't read"
            self._problems = {**self._problems, what: problem_text}
            self._on_problem(problem_text)
            return None
        except CertificateProblem as problem:
            self._problems = {**self._problems, what: str(problem)}
            self._on_problem(str(problem))
            return None
        self._problems = {key: text for key, text in self._problems.items() if key != what}
        return loaded


def state_of_chain(use: str, pem: bytes) -> list[StateOfCertificate]:
    """The state of a chain's first certificate; nothing of what is none."""
    try:
        return [_state(use, x509.load_pem_x509_certificate(pem))]
    except ValueError:
        return []


def _state(use: str, certificate: x509.Certificate) -> StateOfCertificate:
    end, digest = certificate.not_valid_after_utc, certificate.fingerprint(hashes.SHA256()).hex()
    return StateOfCertificate(use, subject_text(certificate), milliseconds(end), digest)
