"""Puts together what sets External Audit Storage up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.config import ExternalStorageSection
from server.external_storage.drafts import Drafts
from server.external_storage.plans import Plans
from server.external_storage.regions import RegionRule
from server.state.external_storages import SqlExternalStorages


@dataclass(frozen=True, slots=True)
class ExternalStorageParts:
    """What the edge calls of it."""

    drafts: Drafts
    plans: Plans


def assemble(
    section: ExternalStorageSection, store: SqlExternalStorages, cluster_name: str, now_ms: Callable[[], int]
) -> ExternalStorageParts:
    """The parts over what the state keeps."""
    others = section.other_regions.split(",") if section.other_regions else ()
    drafts = Drafts(store, RegionRule(section.region or "", tuple(others)), now_ms)
    return ExternalStorageParts(drafts, Plans(store, cluster_name, now_ms))
