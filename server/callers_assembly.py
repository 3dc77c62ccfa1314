"""Puts together what tells who calls: certificates in force, and token issuers with their listener."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from server.audit_log.changes import Changes
from server.certificates.certificates_in_force import Certificates, StateOfCertificate
from server.certificates.issued import SerialTable
from server.certificates.local_authority import LocalAuthority
from server.certificates.sources import choose_sources
from server.config import Config
from server.data_directory import DataDirectory
from server.grpc_api.server import TokenListener
from server.tokens.token_issuers import TokenIssuers

_log = logging.getLogger(__name__)


def certificates_of(config: Config, local: LocalAuthority, serials: SerialTable, changes: Changes) -> Certificates:
    """The certificates in force: those that are configured, the local authority's for the rest."""
    sources = choose_sources(
        local,
        config.cluster_name,
        certificate=config.grpc.certificate,
        key=config.grpc.key,
        host_cas=config.grpc.host_ca,
        user_cas=config.grpc.user_ca,
    )

    def on_problem(text: str) -> None:
        _log.error("a changed certificate file is refused; the old one stays", extra={"fields": {"reason": text}})
        changes.certificates_refused(text)

    def on_change(removed: Sequence[StateOfCertificate], added: Sequence[StateOfCertificate]) -> None:
        changes.certificates_reloaded([each._asdict() for each in removed], [each._asdict() for each in added])

    issuers = [each.issuer for each in config.grpc.token_issuers]
    return Certificates(
        sources,
        config.cluster_name,
        serials.current,
        on_problem,
        account=DataDirectory(config.data_dir).account,
        token_issuers=issuers,
        learn=serials.learn,
        on_change=on_change,
    )


def tokens_of(config: Config, certificates: Certificates, changes: Changes) -> TokenIssuers:
    """The token issuers. Their users are named with their issuer where more than one could give a name."""
    issuers = config.grpc.token_issuers
    qualified = len(issuers) + certificates.give_user_names > 1
    skew = timedelta(seconds=config.grpc.token_skew_seconds)
    account = DataDirectory(config.data_dir).account
    return TokenIssuers(issuers, skew, qualified=qualified, trace=changes, account=account)


def token_listener(config: Config, certificates: Certificates, tokens: TokenIssuers) -> TokenListener | None:
    """The listener for tokens; None where it is off."""
    if config.grpc.token_listen is None:
        return None
    return TokenListener(config.grpc.token_listen, certificates.token_credentials(), tokens)
