"""Puts together what sets External Audit Storage up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.config import Config
from server.external_storage.drafts import Drafts
from server.external_storage.plans import Plans
from server.external_storage.promotions import Promotions
from server.external_storage.regions import RegionRule
from server.external_storage.rules import Rules
from server.external_storage.switching import Switch
from server.state.external_storages import SqlExternalStorages


@dataclass(frozen=True, slots=True)
class ExternalStorageParts:
    """What the edge calls of it."""

    drafts: Drafts
    plans: Plans
    promotions: Promotions


def assemble(
    config: Config, store: SqlExternalStorages, switch: Switch, now_ms: Callable[[], int]
) -> ExternalStorageParts:
    """The parts over what the state keeps."""
    section = config.external_storage
    others = section.other_regions.split(",") if section.other_regions else ()
    rules = Rules(RegionRule(section.region or "", tuple(others)))
    return ExternalStorageParts(
        Drafts(store, rules, now_ms),
        Plans(store, config.cluster_name, now_ms),
        Promotions(store, rules, switch, now_ms),
    )
