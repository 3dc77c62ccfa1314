"""Text in recordings that a caller may not see: nothing of it is read, counted, or told by where a page ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rbac.formulas import Operator, Test
from server.audit_log.access import Access
from server.recordings.playback.lines import Line
from server.recordings.recording import UploadState
from server.recordings.text_search import text_search
from server.recordings.text_search.text_index import TextIndex
from server.recordings.text_search.text_query import IndexedRecording, TextHit, TextPage, TextQuery, have_expired
from server.recordings.text_search.text_search import TextSearch
from tests.contract.search_rig import NOON, SearchRig
from tests.contract.session_rig import (
    ALICE,
    KEY,
    NODE,
    OTHER_NODE,
    PROXY,
    SessionRig,
    access_of,
    end_of,
    everything,
    new_id,
    seeing,
)

NOT_ROOTS = seeing(Test(("user",), Operator.ONE_OF, ("root",), holds=False))
"""Asks for no participant, so that any session may be admitted."""


class NotedIndex(TextIndex):
    """Notes what it is asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read: list[str] = []
        self.finds = 0

    def find(self, *asked: Any) -> list[TextHit]:
        self.finds += 1
        return super().find(*asked)

    def find_in(self, recordings: Sequence[IndexedRecording], *asked: Any) -> list[TextHit]:
        self.read += [each.upload_id for each in recordings]
        return super().find_in(recordings, *asked)


class NoLog:
    """Leaves no trace."""

    async def recordings_searched(self, access: Access, filters: Any, **members: object) -> None: ...


class Searched:
    """Recordings with text over a log of sessions."""

    def __init__(self, rig: SearchRig, folder: Path) -> None:
        self.sessions = SessionRig(rig)
        self.index = NotedIndex(folder / "text.sqlite")
        self.ended = 0

    def record(self, user: str, *lines: str) -> str:
        """A session that has ended and its recording, with text; gives the upload's id."""
        session_id = new_id()
        self.ended += 1
        self.sessions.log.emit(end_of(session_id, user, time_ms=NOON + self.ended), by=PROXY)
        upload_id = self.sessions.record(session_id, NODE)
        self.add(session_id, upload_id, user, *lines)
        return upload_id

    def add(self, session_id: str, upload_id: str, user: str, *lines: str) -> None:
        """Index a recording."""
        addition = self.index.add(upload_id, session_id)
        addition.add(Line(at, line) for at, line in enumerate(lines))
        addition.end(NOON + self.ended, user, "")

    def pages(self, access: Access, query: TextQuery) -> list[TextPage]:
        """All pages."""

        async def read() -> list[TextPage]:
            found = [await search.search(access, query)]
            while found[-1].next_page_token:
                found.append(await search.search(access, replace(query, page_token=found[-1].next_page_token)))
            return found

        with ThreadPoolExecutor(1) as threads:
            search = TextSearch(self.index, lambda *_: (), self.sessions.sessions, NoLog(), KEY, threads)
            return asyncio.run(read())


@pytest.fixture
def searched(rig: SearchRig, tmp_path: Path) -> Searched:
    return Searched(rig, tmp_path)


@pytest.mark.parametrize("names", [True, False], ids=["participants are asked for", "any session may be admitted"])
def test_nothing_of_others_is_read_whatever_text_is_asked_for(searched: Searched, names: bool) -> None:
    hers = searched.record("alice", "$ echo sEcret", "more")
    searched.record("root", "-pSecret", *["secret again"] * 5)
    access, asked = access_of(ALICE, "list", "read") if names else NOT_ROOTS, []
    for text in ("-pSecret", "-pNowhere", "secret"):
        searched.index.read.clear()
        (page,) = searched.pages(access, TextQuery(text))
        asked.append(list(searched.index.read))
        assert [hit.line for hit in page.hits] == (["$ echo sEcret"] if text == "secret" else [])
    assert asked == [[hers]] * 3
    assert not searched.index.finds, "that index is of all recordings"


def test_lines_of_others_end_no_page(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_search, "_LOOKED_AT", 2)
    monkeypatch.setattr(text_search, "_MOST_LOOKED_AT", 4)
    searched.record("root", *["secret"] * 9)
    (page,) = searched.pages(access_of(ALICE, "list", "read"), TextQuery("secret"))
    assert page == TextPage((), "")


def test_many_recordings_are_gone_through_page_by_page_and_the_tokens_tell_nothing(
    searched: Searched, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(9):
        searched.record("root" if at % 3 == 2 else "alice", *[f"line {at} {line}" for line in range(at % 4)])
    every, query = searched.pages(everything(), TextQuery("LINE")), TextQuery("LINE", page_size=2)
    wanted = [hit for page in every for hit in page.hits if hit.user != "root"]
    assert len(wanted) == 9
    monkeypatch.setattr("server.recordings.sessions.sessions._MOST_CANDIDATES", 2)
    for recordings, lines, looked_at, short_after in ((2, 3, 1, 5.0), (2, 1, 1, -1.0), (1, 9, 9, -1.0)):
        monkeypatch.setattr(text_search, "_RECORDINGS", recordings)
        monkeypatch.setattr(text_search, "_LINES", lines)
        monkeypatch.setattr(text_search, "_LOOKED_AT", looked_at)
        monkeypatch.setattr(text_search, "_MOST_LOOKED_AT", 3)
        monkeypatch.setattr(text_search, "_SHORT_AFTER_SECONDS", short_after)
        for access in (access_of(ALICE, "list", "read"), NOT_ROOTS):
            pages = searched.pages(access, query)
            assert [hit for page in pages for hit in page.hits] == wanted
            assert len({len(page.next_page_token) for page in pages[:-1]}) == 1


def test_one_that_was_kept_aside_is_read_where_its_own_uploader_vouches(searched: Searched) -> None:
    session_id = new_id()
    searched.sessions.log.emit(end_of(session_id, "root"), by=NODE)
    searched.sessions.log.emit(end_of(session_id, "alice"), by=OTHER_NODE)
    recording = searched.sessions.record(session_id, NODE)
    aside = searched.sessions.record(session_id, OTHER_NODE, UploadState.KEPT_ASIDE)
    searched.add(session_id, recording, "root", "a secret")
    searched.add(session_id, aside, "alice", "her secret")
    (page,) = searched.pages(access_of(ALICE, "list", "read"), TextQuery("secret"))
    assert [hit.line for hit in page.hits] == ["her secret"]
    assert searched.index.read == [aside]


@pytest.mark.parametrize("access", [access_of(ALICE, "list", "read"), NOT_ROOTS])
def test_of_expired_recordings_those_are_counted_that_the_caller_may_see(searched: Searched, access: Access) -> None:
    uploads = [searched.record(user, "secret") for user in ("root", "alice", "root")]
    searched.index.let_go(uploads[::2], lambda: True)
    for query in (TextQuery("secret"), TextQuery("secret", from_ms=NOON + 3)):
        (page,) = searched.pages(access, query)
        assert page.missing == ()
    searched.index.let_go(uploads, lambda: True)
    missing = {at: searched.pages(access, TextQuery("secret", from_ms=NOON + at))[0].missing for at in (2, 3)}
    assert missing == {2: (have_expired(1),), 3: ()}
