"""One page of a list of sessions: rows of the index with what is kept of each, as far as the caller may see it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rbac.identities import Identity, IdentityKind
from server.recordings.recording import Recording, Upload
from server.recordings.sessions.conditions import NO_VERDICTS, Verdicts, names_asked_for, refusal, verdicts
from server.recordings.sessions.session import Session, SessionKind, SessionQuery
from server.state.session_pages import SessionFilters, SessionPosition, SessionRow, SqlSessionPages
from server.storage.value_tests import RowCondition

MOST_KEPT = 1_000
"""Asides, and likewise uploads, of one session that are listed: any number may be made, and an answer has an end."""
_PAGE_BYTES = 1024 * 1024
"""A page that has more is short."""
_ITEM_BYTES = 500
"""What a recording or an upload takes, beside the name of who uploads it."""
_LOOKED_AT = 500
"""Sessions looked at together where conditions may leave out many of them."""
_LIMIT_SECONDS = 10.0
"""A page that takes longer is short."""


class SessionRecordings(Protocol):
    """What is kept of sessions."""

    def recordings_of(self, session_ids: Collection[str]) -> Sequence[Recording]:
        """Their recordings and those kept aside, oldest first."""
        ...

    def uploads_of(self, session_ids: Collection[str]) -> Sequence[Upload]:
        """Their uploads that are open or aborted, oldest first."""
        ...


class NoRecordings:
    """The sessions of a service that keeps no recordings."""

    def recordings_of(self, _session_ids: Collection[str]) -> Sequence[Recording]:
        """None."""
        return ()

    def uploads_of(self, _session_ids: Collection[str]) -> Sequence[Upload]:
        """None."""
        return ()


@dataclass(slots=True)
class Kept:
    """What is kept of one session."""

    recording: Recording | None = None
    asides: list[Recording] = field(default_factory=list)
    uploads: list[Upload] = field(default_factory=list)
    only_asides: bool = False
    """The caller sees what is kept aside and nothing else of the session, neither whose it was nor when."""

    def uploader(self, upload_id: str = "") -> Identity | None:
        """Whose the recording is that an upload made, without its id the session's; None where there is none."""
        if self.recording is not None and upload_id in ("", self.recording.upload_id):
            return self.recording.uploader
        return next((aside.uploader for aside in self.asides if aside.upload_id == upload_id), None)

    @property
    def only_of_users(self) -> bool:
        """Whether the caller sees what users keep aside and nothing else: found by the session's id alone. In a list it
        stands where the session began, which whoever may upload could find out of any session."""
        return self.only_asides and all(aside.uploader.kind is IdentityKind.USER for aside in self.asides)

    def admitted(self, known: Verdicts) -> Kept | None:
        """What of it a condition admits that says this of the session; None where it doesn't admit the session."""
        complete = [kept for kept in (self.recording, *self.asides) if kept is not None]
        if not complete:
            return self if not refusal(known, None) else None
        seen = [kept for kept in complete if not refusal(known, kept.uploader)]
        if not seen:
            return None
        asides = [kept for kept in self.asides if kept in seen]
        recording = self.recording if self.recording in seen else None
        if recording is None and refusal(known, None):
            # Whoever keeps something aside vouches for that alone, and for nothing that others tell or began.
            return Kept(None, asides, only_asides=True)
        return Kept(recording, asides, self.uploads)


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reads pages of one query."""

    pages: SqlSessionPages
    kept: SessionRecordings
    generation: int
    filters: SessionFilters
    condition: RowCondition | None

    def read(self, after: SessionPosition | None, size: int) -> tuple[list[Session], SessionPosition | None]:
        """A page's sessions, and where the next page begins; None at the end."""
        until = time.monotonic() + _LIMIT_SECONDS
        found: list[Session] = []
        size_bytes = 0
        limit = size + 1 if self.condition is None else max(size + 1, _LOOKED_AT)
        while True:
            rows = self.pages.rows(self.generation, self.filters, after, limit)
            for row, kept in self._admitted(rows):
                if len(found) == size or (found and size_bytes > _PAGE_BYTES):
                    return found, after
                found.append(_session(row, kept))
                size_bytes += _bytes_of(found[-1])
                after = row.position
            if len(rows) < limit:
                return found, None
            after = rows[-1].position
            if time.monotonic() > until:
                return found, after

    def _admitted(self, rows: Sequence[SessionRow]) -> Iterator[tuple[SessionRow, Kept]]:
        ids = [row.session_id for row in rows]
        kept_by_id = kept_of(self.kept, ids)
        if self.condition is None:
            yield from ((row, kept_by_id[row.session_id]) for row in rows)
            return
        said = verdicts(self.condition, self.pages.ends(self.generation, ids))
        for row in rows:
            kept = kept_by_id[row.session_id].admitted(said.get(row.session_id, NO_VERDICTS))
            if kept is None or (kept.only_asides and self.filters.tell):
                continue
            if self.filters.session_id or not kept.only_of_users:
                yield row, kept


def kept_of(recordings: SessionRecordings, session_ids: Collection[str]) -> defaultdict[str, Kept]:
    """What is kept of sessions, by session id."""
    found = defaultdict[str, Kept](Kept)
    for recording in recordings.recordings_of(session_ids):
        if recording.aside:
            found[recording.session_id].asides.append(recording)
        else:
            found[recording.session_id].recording = recording
    for upload in recordings.uploads_of(session_ids):
        found[upload.session_id].uploads.append(upload)
    return found


def filters_of(query: SessionQuery, condition: RowCondition | None) -> SessionFilters:
    """What the index is asked for."""
    return SessionFilters(
        query.from_ms,
        query.to_ms,
        frozenset(kind.value for kind in query.kinds),
        query.users,
        query.participant,
        query.server_id,
        query.active_at_ms,
        query.has_recording,
        query.has_upload,
        query.text,
        query.session_id,
        has_end=condition is not None,
        named=None if condition is None else names_asked_for(condition),
    )


def _session(row: SessionRow, kept: Kept) -> Session:
    if kept.only_asides:
        return Session(row.session_id, asides=tuple(kept.asides[:MOST_KEPT]), has_more=len(kept.asides) > MOST_KEPT)
    return Session(
        row.session_id,
        SessionKind(row.kind),
        row.user,
        row.participants,
        row.server_id,
        row.target,
        row.started_ms,
        row.ended_ms,
        kept.recording,
        tuple(kept.asides[:MOST_KEPT]),
        tuple(kept.uploads[:MOST_KEPT]),
        has_more=max(len(kept.asides), len(kept.uploads)) > MOST_KEPT,
    )


def _bytes_of(session: Session) -> int:
    """About what a session takes in an answer."""
    texts = [session.user, session.server_id, session.target, *session.participants]
    texts += [recording.uploader.name for recording in session.asides]
    texts += [upload.owner.name for upload in session.uploads]
    items = 2 + len(session.asides) + len(session.uploads)
    return items * _ITEM_BYTES + sum(len(text.encode()) for text in texts)
