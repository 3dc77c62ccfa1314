"""A log with a session index over it, in a folder and without sockets, and the events of sessions."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from rbac.formulas import ALWAYS, Formula
from rbac.identities import Identity, IdentityKind
from rbac.permissions import Permission
from rbac.policy import load_policy_folder
from server.audit_log.access import Access
from server.audit_log.delivery import Delivery
from server.audit_log.timestamps import format_rfc3339
from server.recordings.kept import KeptRecordings
from server.recordings.recording import UploadState
from server.recordings.sessions.session import Session, SessionPage, SessionQuery
from server.recordings.sessions.session_index import ReindexProgress, SessionIndex
from server.recordings.sessions.session_tokens import SessionTokens
from server.recordings.sessions.sessions import Sessions
from server.recordings.uploads.owners import owner_key, owner_members
from server.recordings.uploads.views import upload_of
from server.state.session_pages import SqlSessionPages
from server.state.sessions import SqlSessionIndex
from server.state.uploads import ABORTED, ASIDE, RECORDING, Ending, OpenLimits, RecordingRow, SqlUploads, UploadRow
from tests.contract.search_rig import NOON, SearchRig, event_json

NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "host-anchor", "c1")
OTHER_NODE = Identity(IdentityKind.COMPONENT, "node-2", frozenset({"Node"}), "host-anchor", "c2")
PROXY = Identity(IdentityKind.COMPONENT, "proxy-1", frozenset({"Proxy"}), "host-anchor", "c3")
AUTH = Identity(IdentityKind.COMPONENT, "auth-1", frozenset({"Auth"}), "host-anchor", "c4")
ALICE = Identity(IdentityKind.USER, "alice", frozenset({"access"}), "anchor", "a1")
MALLORY = Identity(IdentityKind.USER, "mallory", frozenset({"access", "importer"}), "anchor", "e1")
POLICY = load_policy_folder(None)
KEY = b"k" * 32


def access_of(who: Identity, *verbs: str) -> Access:
    """The access that the presets give somebody to sessions, as the edge would make it."""
    grant = POLICY.permits(who, Permission((("session", verbs or ("list",)),), by_object=True))
    assert grant is not None, f"{who.name} may not call this at all"
    return Access(who, "peer", "request", grant.condition)


def everything() -> Access:
    """The access of somebody who may see every session."""
    return Access(replace(ALICE, name="root"), "peer", "request", ALWAYS)


def seeing(formula: Formula, who: Identity = ALICE) -> Access:
    """The access of somebody who sees what a formula admits."""
    return Access(who, "peer", "request", formula)


def new_id() -> str:
    """A session id."""
    return str(uuid.uuid4())


def session_event(type_: str, session_id: str, time_ms: int = NOON, **members: object) -> bytes:
    """An event of a session."""
    return event_json(str(uuid.uuid4()), time_ms, type_, sid=session_id, **members)


def end_of(session_id: str, *participants: str, time_ms: int = NOON, **members: object) -> bytes:
    """The end of a session that these took part in; it had begun a minute before."""
    members = {"user": participants[0] if participants else "", "participants": list(participants), **members}
    members.setdefault("session_start", format_rfc3339(time_ms - 60_000))
    members.setdefault("session_stop", format_rfc3339(time_ms))
    return session_event("session.end", session_id, time_ms, **members)


@dataclass
class SessionRig:
    """One process's life; `reopened` begins the next one on the same folder."""

    log: SearchRig

    def __post_init__(self) -> None:
        log = self.log
        self.tables = SqlSessionIndex(log.database)
        self.pages = SqlSessionPages(log.database)
        self.index = SessionIndex(self.tables, log.log.tail, log.catalogue, log.storages, log.engine)
        log.delivery = Delivery(
            log.storage,
            log.log.tail,
            log.log.spool,
            log.catalogue,
            log.log.uid_files,
            log.log.journal,
            log.log.proofs,
            self.index.before_leaving,
        )
        self.threads = ThreadPoolExecutor(1)
        self.uploads = SqlUploads(log.database)
        kept = KeptRecordings(self.uploads, lambda row: upload_of(row, row.bytes, abandoned=False))
        self.sessions = Sessions(self.index, self.pages, kept, SessionTokens(KEY), self.threads)

    def begin_upload(self, session_id: str, owner: Identity, begun_ms: int = NOON) -> str:
        """Begin an upload; gives its id."""
        row = self.upload_row(session_id, owner, begun_ms)
        self.uploads.add(row, OpenLimits(1_000, 1_000))
        return row.upload_id

    def upload_row(self, session_id: str, owner: Identity, begun_ms: int = NOON) -> UploadRow:
        """The row of an upload that begins."""
        key = uuid.uuid4().hex
        who = json.dumps(owner_members(owner, "peer"))
        return UploadRow(
            key, f"u-{key}", session_id, "default", "", "open", who, owner_key(owner), 5, begun_ms, None, begun_ms
        )

    def end_upload(self, upload_id: str, state: UploadState = UploadState.COMPLETED) -> None:
        """End an upload."""
        key = upload_id.removeprefix("u-")
        row = self.uploads.get(key)
        assert row is not None
        kinds = {UploadState.COMPLETED: RECORDING, UploadState.KEPT_ASIDE: ASIDE, UploadState.ABORTED: ABORTED}
        kept = RecordingRow(
            key, upload_id, row.session_id, kinds[state], "default", "", 5, 1, "c" * 64, "d" * 64, row.owner,
            row.begun_ms, None, row.begun_ms + 1, False, False,
        )  # fmt: skip
        self.uploads.end(key, Ending(state.value, row.begun_ms + 1, 5), kept, [])

    def record(self, session_id: str, uploader: Identity, state: UploadState = UploadState.COMPLETED) -> str:
        """Upload a recording; gives the upload's id."""
        upload_id = self.begin_upload(session_id, uploader)
        self.end_upload(upload_id, state)
        return upload_id

    def close(self) -> None:
        """End this life in order."""
        self.threads.shutdown()
        self.log.close()

    def reopened(self) -> SessionRig:
        """The next life on the same folder."""
        self.threads.shutdown()
        return SessionRig(self.log.reopened())

    def killed(self) -> SessionRig:
        """The next life on the same folder, after one that ended without a word."""
        self.threads.shutdown()
        self.log.log.uid_files.close()
        self.log.database.dispose()
        return SessionRig(replace(self.log))

    def rebuild(self) -> list[ReindexProgress]:
        """Build the index anew; gives what was told meanwhile."""
        told: list[ReindexProgress] = []
        self.index.rebuild(told.append)
        return told

    def page(self, query: SessionQuery | None = None, access: Access | None = None) -> SessionPage:
        """One page."""
        return asyncio.run(self.sessions.list(access or everything(), query or SessionQuery()))

    def all_pages(self, query: SessionQuery | None = None, access: Access | None = None) -> Iterator[SessionPage]:
        """Page after page; the caller may change the log between them."""
        query = query or SessionQuery()
        while True:
            page = self.page(query, access)
            yield page
            if not page.next_page_token:
                return
            query = replace(query, page_token=page.next_page_token)

    def found(self, query: SessionQuery | None = None, access: Access | None = None) -> list[Session]:
        """The sessions of all pages."""
        return [session for page in self.all_pages(query, access) for session in page.sessions]

    def ids(self, query: SessionQuery | None = None, access: Access | None = None) -> list[str]:
        """Their ids."""
        return [session.session_id for session in self.found(query, access)]

    def refusal(self, access: Access, session_id: str, upload_id: str = "") -> str:
        """Why the caller may not see a recording; '' where it may."""
        return asyncio.run(self.sessions.refusal(access, session_id, upload_id))
