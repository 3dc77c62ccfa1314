"""Puts together what sets External Audit Storage up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from server.audit_log.diverting import Diverting
from server.config import AwsSection, Config
from server.external_storage.backlogs import Backlogs
from server.external_storage.connection_tests import MOST, ConnectionTests, Tokens
from server.external_storage.drafts import Drafts
from server.external_storage.in_turn import InTurn
from server.external_storage.plans import Plans
from server.external_storage.promotions import Promotions
from server.external_storage.regions import RegionRule
from server.external_storage.rules import Rules
from server.external_storage.switching import Switch
from server.state.database import Database
from server.state.external_storages import SqlExternalStorages
from server.state.uploads import SqlUploads
from server.storage.aws.checks.probe import AwsConnectionProbe
from server.storage.aws.session import AwsSettings
from server.storage.aws.store import Refusal, Store

_SENT_BESIDE = 32
"""Connections for batches and parts of recordings that are sent while objects are fetched."""


@dataclass(frozen=True, slots=True)
class ExternalStorageParts:
    """What the edge calls of it."""

    drafts: Drafts
    plans: Plans
    promotions: Promotions
    tests: ConnectionTests
    backlogs: Backlogs


def assemble(
    config: Config,
    state: Database,
    tokens: Tokens,
    switch: Switch,
    diverting: Diverting,
    now_ms: Callable[[], int],
) -> ExternalStorageParts:
    """The parts over what the state keeps."""
    section, name = config.external_storage, config.cluster_name
    others = section.other_regions.split(",") if section.other_regions else ()
    rules = Rules(RegionRule(section.region or "", tuple(others)))
    probe = AwsConnectionProbe(aws_settings(config.aws))
    store, in_turn = SqlExternalStorages(state), InTurn()
    threads = ThreadPoolExecutor(MOST, "connection-test")
    return ExternalStorageParts(
        Drafts(store, rules, now_ms),
        Plans(store, name, now_ms),
        Promotions(store, rules, switch, now_ms, in_turn),
        ConnectionTests(store, tokens, probe, threads, name, now_ms),
        Backlogs(store, diverting, SqlUploads(state), in_turn),
    )


def aws_settings(section: AwsSection) -> AwsSettings:
    """How AWS is reached, as it is configured."""
    return AwsSettings(
        endpoint=section.endpoint,
        s3_endpoint=section.s3_endpoint,
        s3_path_style=section.s3_path_style,
        ca=str(section.ca) if section.ca is not None else None,
        proxy=section.proxy,
        connect_timeout=section.connect_timeout_seconds,
        read_timeout=section.read_timeout_seconds,
        attempts=section.attempts,
        connections=section.workers + _SENT_BESIDE,
        store=Store(
            conditional_writes=section.s3_conditional_writes == "yes",
            checksums=section.s3_checksums == "sha256",
            needs_versions=section.s3_versioning == "required",
            refusal=Refusal(is_seen=(section.s3_endpoint or section.endpoint) is None),
        ),
    )
