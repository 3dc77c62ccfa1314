"""A log with a session index over it, in a folder and without sockets, and the events of sessions."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from rbac.formulas import ALWAYS, Formula
from rbac.identities import Identity, IdentityKind
from rbac.permissions import Permission
from rbac.policy import load_policy_folder
from server.audit_log.access import Access
from server.audit_log.delivery import Delivery
from server.audit_log.timestamps import format_rfc3339
from server.recordings.recording import Recording, Upload
from server.recordings.sessions.session import Session, SessionPage, SessionQuery
from server.recordings.sessions.session_index import ReindexProgress, SessionIndex
from server.recordings.sessions.session_tokens import SessionTokens
from server.recordings.sessions.sessions import Sessions
from server.state.session_pages import SqlSessionPages
from server.state.sessions import SqlSessionIndex
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


def recording_of(session_id: str, uploader: Identity, upload_id: str = "upload", *, aside: bool = False) -> Recording:
    """A recording that is complete."""
    return Recording(session_id, upload_id, "default", 10, 1, "c" * 64, "d" * 64, uploader, NOON, NOON + 1, aside=aside)


@dataclass
class KeptInMemory:
    """What is kept of sessions, in memory."""

    recordings: list[Recording] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)

    def recordings_of(self, session_ids: Collection[str]) -> Sequence[Recording]:
        """As the port has it."""
        return [each for each in self.recordings if each.session_id in session_ids]

    def uploads_of(self, session_ids: Collection[str]) -> Sequence[Upload]:
        """As the port has it."""
        return [each for each in self.uploads if each.session_id in session_ids]


@dataclass
class SessionRig:
    """One process's life; `reopened` begins the next one on the same folder."""

    log: SearchRig
    kept: KeptInMemory = field(default_factory=KeptInMemory)

    def __post_init__(self) -> None:
        log = self.log
        self.tables = SqlSessionIndex(log.database)
        self.pages = SqlSessionPages(log.database)
        self.index = SessionIndex(self.tables, log.log.tail, log.catalogue, log.storage, log.engine)
        log.delivery = Delivery(
            lambda _: log.storage,
            log.log.tail,
            log.log.spool,
            log.catalogue,
            log.log.uid_files,
            log.log.journal,
            self.index.before_leaving,
        )
        self.threads = ThreadPoolExecutor(1)
        self.sessions = Sessions(self.index, self.pages, self.kept, SessionTokens(KEY), self.threads)

    def close(self) -> None:
        """End this life in order."""
        self.threads.shutdown()
        self.log.close()

    def reopened(self) -> SessionRig:
        """The next life on the same folder."""
        self.threads.shutdown()
        return SessionRig(self.log.reopened(), self.kept)

    def killed(self) -> SessionRig:
        """The next life on the same folder, after one that ended without a word."""
        self.threads.shutdown()
        self.log.log.uid_files.close()
        self.log.database.dispose()
        return SessionRig(replace(self.log), self.kept)

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
