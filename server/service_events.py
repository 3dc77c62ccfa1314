"""The types of the service's own events, and how one is written down.

No client can emit an event of the types that begin with `extaudit.`; the others are Teleport's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import orjson

STARTED: Final = "extaudit.service.start"
STOPPED: Final = "extaudit.service.stop"
SEARCHED: Final = "extaudit.events.search"
READ: Final = "extaudit.events.get"
CHUNKS_LISTED: Final = "extaudit.events.chunks"
EXPORTED: Final = "extaudit.events.export"
WATCHED: Final = "extaudit.events.watch"
WATCH_ENDED: Final = "extaudit.events.watch.end"
EXPORT_ENDED: Final = "extaudit.events.export.end"
RECORDING_READ: Final = "extaudit.recording.read"
RECORDINGS_LISTED: Final = "extaudit.recordings.list"
RECORDINGS_SEARCHED: Final = "extaudit.recordings.search"
REINDEXED: Final = "extaudit.recordings.reindex"
DENIED: Final = "extaudit.access.denied"
LOCK_CREATED: Final = "extaudit.lock.create"
LOCK_DELETED: Final = "extaudit.lock.delete"
ROLES_RELOADED: Final = "extaudit.roles.reload"
ROLES_REFUSED: Final = "extaudit.roles.refused"
CONFIGURATION_RELOADED: Final = "extaudit.configuration.reload"
CONFIGURATION_REFUSED: Final = "extaudit.configuration.refused"
IDENTITY_ISSUED: Final = "extaudit.identity.issue"
IDENTITY_RENEWED: Final = "extaudit.identity.renew"
CERTIFICATES_RELOADED: Final = "extaudit.certificates.reload"
CERTIFICATES_REFUSED: Final = "extaudit.certificates.refused"
KEY_SET_RELOADED: Final = "extaudit.jwks.reload"
KEY_SET_REFUSED: Final = "extaudit.jwks.refused"
KEY_SET_EXPIRED: Final = "extaudit.jwks.expire"
KEY_MADE: Final = "extaudit.issuer.key.make"
KEY_ACTIVATED: Final = "extaudit.issuer.key.activate"
KEY_RETIRING: Final = "extaudit.issuer.key.replace"
KEY_RETIRED: Final = "extaudit.issuer.key.retire"
KEY_DROPPED: Final = "extaudit.issuer.key.drop"
JOURNAL_DAMAGED: Final = "extaudit.journal.damage"
JOURNAL_FORKED: Final = "extaudit.journal.fork"
STORAGE_DAMAGED: Final = "extaudit.storage.damage"
NAME_TAKEN: Final = "extaudit.storage.name_taken"
ALERT_RAISED: Final = "extaudit.alert.raise"
ALERT_CLEARED: Final = "extaudit.alert.clear"
CLOCK_STEPPED: Final = "extaudit.clock.step"
EVENT_REFUSED: Final = "extaudit.outbox.refused"
DRAFT_CREATED: Final = "extaudit.draft.create"
DRAFT_UPDATED: Final = "extaudit.draft.update"
DRAFT_DELETED: Final = "extaudit.draft.delete"
STORAGE_ENABLED: Final = "external_audit_storage.enable"
STORAGE_DISABLED: Final = "external_audit_storage.disable"
STORAGE_DIVERTED: Final = "extaudit.storage.divert"
CONNECTION_TESTED: Final = "extaudit.storage.test"
SESSION_UPLOADED: Final = "session.upload"
INTEGRATION_CREATED: Final = "integration.create"
INTEGRATION_UPDATED: Final = "integration.update"
INTEGRATION_DELETED: Final = "integration.delete"
UPLOAD_ABORTED: Final = "extaudit.upload.abort"
UPLOAD_REPEATED: Final = "extaudit.upload.repeat"

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        STARTED: "XA1001I",
        STOPPED: "XA1002I",
        SEARCHED: "XA2001I",
        READ: "XA2002I",
        CHUNKS_LISTED: "XA2004I",
        EXPORTED: "XA2005I",
        WATCHED: "XA2003I",
        WATCH_ENDED: "XA2006I",
        EXPORT_ENDED: "XA2007I",
        RECORDING_READ: "XA2101I",
        RECORDINGS_LISTED: "XA2102I",
        REINDEXED: "XA2103I",
        RECORDINGS_SEARCHED: "XA2104I",
        DENIED: "XA3001W",
        LOCK_CREATED: "XA3101I",
        LOCK_DELETED: "XA3102I",
        ROLES_RELOADED: "XA4001I",
        ROLES_REFUSED: "XA4001W",
        CONFIGURATION_RELOADED: "XA4101I",
        CONFIGURATION_REFUSED: "XA4101W",
        IDENTITY_ISSUED: "XA5001I",
        IDENTITY_RENEWED: "XA5002I",
        CERTIFICATES_RELOADED: "XA5101I",
        CERTIFICATES_REFUSED: "XA5101W",
        KEY_SET_RELOADED: "XA5201I",
        KEY_SET_REFUSED: "XA5201W",
        KEY_SET_EXPIRED: "XA5202W",
        KEY_MADE: "XA5301I",
        KEY_ACTIVATED: "XA5302I",
        KEY_RETIRING: "XA5303I",
        KEY_RETIRED: "XA5304I",
        KEY_DROPPED: "XA5305W",
        JOURNAL_DAMAGED: "XA6001E",
        JOURNAL_FORKED: "XA6004W",
        CLOCK_STEPPED: "XA6002W",
        EVENT_REFUSED: "XA6003E",
        STORAGE_DAMAGED: "XA6005E",
        NAME_TAKEN: "XA6006W",
        ALERT_RAISED: "XA6101E",
        ALERT_CLEARED: "XA6101I",
        DRAFT_CREATED: "XA8201I",
        DRAFT_UPDATED: "XA8202I",
        DRAFT_DELETED: "XA8203I",
        STORAGE_ENABLED: "TEA001I",
        STORAGE_DISABLED: "TEA002I",
        CONNECTION_TESTED: "XA8204I",
        STORAGE_DIVERTED: "XA8205W",
        SESSION_UPLOADED: "T2005I",
        INTEGRATION_CREATED: "IG001I",
        INTEGRATION_UPDATED: "IG002I",
        INTEGRATION_DELETED: "IG003I",
        UPLOAD_ABORTED: "XA7001W",
        UPLOAD_REPEATED: "XA7002I",
    }
)
"""From a type to its code, as Teleport's events have one: I for information, W for warning, E for error.

Each type has a section in docs/service-events.md.
"""


def encoded(event: Mapping[str, object]) -> bytes:
    """The JSON of one of the service's own events: `event` and what belongs to it, with code, time and uid added.

    A time or uid that is there stays as it is.

    Raises:
        KeyError: there is no such type.
    """
    kind = str(event["event"])
    known = {"event": kind, "code": CODES[kind], "time": _now(), "uid": str(uuid.uuid4())}
    return orjson.dumps(known | dict(event))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
