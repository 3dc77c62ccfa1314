"""Puts together the service's own issuer: its signing keys, their wrapping key, and the tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.audit_log.state_of_service import Problem
from server.certificates.certificates_in_force import StateOfCertificate, state_of_chain
from server.config import Config
from server.data_directory import WRAPPING_KEY, DataDirectory
from server.files import Files
from server.http_api.public_listener import PublicServer
from server.integrations.issuer_documents import IssuerDocuments, paths_of
from server.integrations.key_life import Schedule, active_of
from server.integrations.key_rotation import KeyRotation, KeyUpkeep
from server.integrations.key_wrapping import WrongWrappingKey, read_wrapping_key, wrong_wrapping_key
from server.integrations.signing_keys import SigningKeys, usable
from server.integrations.web_identity import WebIdentityTokens, issuer_of
from server.observability.issuer_metrics import IssuerMetrics
from server.state.signing_keys import SqlSigningKeys

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class IssuerPart:
    """The parts that deal with the service's own issuer; without keys where none is configured."""

    keys: SigningKeys | None
    tokens: WebIdentityTokens
    rotation: KeyRotation
    upkeep: KeyUpkeep
    metrics: IssuerMetrics
    now_ms: Callable[[], int]
    listener: PublicServer | None
    """None where the documents are published by others, or there is no issuer."""

    def hold_to(self, config: Config) -> None:
        """Take over the schedule of a configuration that was read again."""
        if self.keys is not None:
            self.keys.schedule = schedule_of(config)

    def record(self) -> None:
        """Record how the keys are."""
        keys = self.keys.known if self.keys is not None else None
        active = active_of(keys.keys) if keys else None
        since = self.now_ms() - (active.activated_ms or 0) if active else 0
        self.metrics.record_keys(since, len(keys.published) if keys else 0)

    def certificates(self) -> list[StateOfCertificate]:
        """The public listener's certificate in force, where it has one."""
        return state_of_chain("public", self.listener.chain) if self.listener is not None else []

    def warnings(self) -> list[Problem]:
        """What people should know of it."""
        found = [Problem("signing_keys", self.upkeep.problem)] if self.upkeep.problem else []
        if self.listener is not None and self.listener.problem:
            text = f"the public listener keeps its old certificate: {self.listener.problem}"
            found.append(Problem("certificate_refused", text))
        return found


def issuer_part(
    config: Config,
    directory: DataDirectory,
    store: SqlSigningKeys,
    files: Files,
    metrics: IssuerMetrics,
    now_ms: Callable[[], int],
) -> IssuerPart:
    """The issuer as it is configured. Its first keys are made; blocks.

    Raises:
        DataDirectoryProblem: the wrapping key is missing, damaged or another state's.
    """
    keys = _keys(config, directory, store, files, metrics, now_ms)
    issuer = issuer_of(config.issuer_url) if config.issuer_url else ""
    tokens = WebIdentityTokens(issuer, keys, now_ms)
    listener = _listener(config, issuer, keys, metrics) if keys is not None else None
    return IssuerPart(keys, tokens, KeyRotation(keys, now_ms), KeyUpkeep(keys, metrics), metrics, now_ms, listener)


def _listener(config: Config, issuer: str, keys: SigningKeys, metrics: IssuerMetrics) -> PublicServer | None:
    http = config.http
    if http.public_listen is None:
        return None
    names = dict(zip(paths_of(issuer), ("configuration", "keys"), strict=True))
    return PublicServer(
        http.public_listen,
        IssuerDocuments(issuer, keys).current,
        http.public_certificate,
        http.public_key,
        lambda path: metrics.asked(names.get(path, "none")),
    )


def schedule_of(config: Config) -> Schedule:
    """How often keys change."""
    issuer = config.issuer
    return Schedule(int(issuer.rotation_days * _DAY_MS), int(issuer.publish_ahead_seconds * 1000))


def wrapping_key_file(config: Config) -> Path:
    """Where the wrapping key is."""
    return config.issuer.wrapping_key or DataDirectory(config.data_dir).identity / WRAPPING_KEY


def _keys(
    config: Config,
    directory: DataDirectory,
    store: SqlSigningKeys,
    files: Files,
    metrics: IssuerMetrics,
    now_ms: Callable[[], int],
) -> SigningKeys | None:
    if config.issuer_url is None:
        return None
    found = store.read(-1)
    may_make = config.issuer.wrapping_key is None and not usable(found[1] if found else ())
    wrapping = read_wrapping_key(files, wrapping_key_file(config), may_make=may_make)
    keys = SigningKeys(store, wrapping, schedule_of(config), metrics, now_ms)
    try:
        keys.look_after()
    except WrongWrappingKey:
        raise wrong_wrapping_key() from None
    return keys
