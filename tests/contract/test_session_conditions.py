"""Who may see a session: the `access` preset, with true, forged, doubled, contrary and missing events of its end."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from rbac.formulas import AllOf, AnyOf, Operator, Test
from rbac.identities import Identity
from server.audit_log.search.rights import condition_of
from server.errors import Unavailable
from server.recordings.recording import UploadState
from server.recordings.sessions import conditions
from server.recordings.sessions.conditions import NO_END, TOO_LARGE
from server.recordings.sessions.session import Session, SessionKind, SessionQuery
from server.state.session_claims import MAX_NAMES
from server.state.session_ends import MOST_OF_ENDS
from server.state.session_tables import session_ends
from server.storage.matching import document_of
from server.storage.value_matching import holds
from tests.contract.search_rig import SearchRig
from tests.contract.session_rig import (
    ALICE,
    AUTH,
    MALLORY,
    NODE,
    OTHER_NODE,
    PROXY,
    SessionRig,
    access_of,
    end_of,
    everything,
    new_id,
    seeing,
    session_event,
)

Ends = list[tuple[Identity, list[str]]]
"""Who says that the session ended, and who took part by that."""

CASES: list[tuple[str, Identity | None, Ends, bool, bool]] = [
    ("the uploader names her", NODE, [(NODE, ["alice"])], True, False),
    ("the uploader names both", NODE, [(NODE, ["alice", "mallory"])], True, True),
    ("a proxy names her", None, [(PROXY, ["alice"])], True, False),
    ("an auth service names her", NODE, [(AUTH, ["alice"])], True, False),
    ("the same end twice", NODE, [(NODE, ["alice"]), (NODE, ["alice"])], True, False),
    ("nobody says that it ended", NODE, [], False, False),
    ("another node says so", NODE, [(OTHER_NODE, ["alice", "mallory"])], False, False),
    ("a node says so, and nothing was uploaded", None, [(NODE, ["alice"])], False, False),
    ("forged by a user who may create events", NODE, [(NODE, ["alice"]), (MALLORY, ["mallory"])], True, False),
    ("forged by a user alone", NODE, [(MALLORY, ["mallory"])], False, False),
    ("forged by another node", NODE, [(NODE, ["alice"]), (OTHER_NODE, ["mallory"])], True, False),
    ("the proxy contradicts the uploader", NODE, [(NODE, ["alice", "mallory"]), (PROXY, ["mallory"])], False, True),
    ("the uploader contradicts itself", NODE, [(NODE, ["alice"]), (NODE, ["mallory"])], False, False),
    ("the end names nobody", NODE, [(NODE, [])], False, False),
]


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize(
    ("uploader", "ends", "alice", "mallory"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_conditions_are_decided_from_ends_by_the_uploader_and_by_proxy_and_auth_alone(
    sessions: SessionRig, uploader: Identity | None, ends: Ends, alice: bool, mallory: bool, delivered: bool
) -> None:
    session_id = new_id()
    if uploader is not None:
        sessions.record(session_id, uploader)
    for who, participants in ends:
        sessions.log.emit(end_of(session_id, *participants), by=who)
    if delivered:
        sessions.log.cut()
        sessions.log.deliver()
    for caller, admitted in ((ALICE, alice), (MALLORY, mallory)):
        reason = sessions.refusal(access_of(caller, "read"), session_id)
        assert (reason == "") is admitted, reason
        assert sessions.ids(access=access_of(caller)) == ([session_id] if admitted else [])


def test_who_is_uploader_is_asked_of_the_recording_that_is_opened(sessions: SessionRig) -> None:
    session_id = new_id()
    forged = sessions.record(session_id, OTHER_NODE)
    true = sessions.record(session_id, NODE, UploadState.KEPT_ASIDE)
    sessions.log.emit(end_of(session_id, "mallory"), by=OTHER_NODE)
    sessions.log.emit(end_of(session_id, "alice"), by=NODE)
    for caller, seen, hidden in ((MALLORY, forged, true), (ALICE, true, forged)):
        access = access_of(caller, "read")
        assert sessions.refusal(access, session_id, seen) == ""
        assert sessions.refusal(access, session_id, hidden) != ""
        [session] = sessions.found(access=access_of(caller))
        shown = [kept.upload_id for kept in (session.recording, *session.asides) if kept is not None]
        assert shown == [seen]


def test_what_is_kept_aside_opens_no_upload_of_others(sessions: SessionRig) -> None:
    session_id = new_id()
    sessions.record(session_id, NODE)
    theirs = sessions.begin_upload(session_id, NODE)
    forged = sessions.record(session_id, MALLORY, UploadState.KEPT_ASIDE)
    sessions.log.emit(end_of(session_id, "alice"), by=NODE)
    sessions.log.emit(end_of(session_id, "mallory"), by=MALLORY)
    [session] = sessions.found(SessionQuery(session_id=session_id), access_of(MALLORY))
    assert [kept.upload_id for kept in session.asides] == [forged]
    assert (session.recording, session.uploads) == (None, ())
    [session] = sessions.found(access=access_of(ALICE))
    assert [upload.upload_id for upload in session.uploads] == [theirs]


def test_what_is_kept_aside_tells_nothing_of_the_session_that_others_told(sessions: SessionRig) -> None:
    session_id = new_id()
    sessions.log.emit(session_event("session.start", session_id, user="bob"), by=NODE)
    sessions.record(session_id, NODE)
    forged = sessions.record(session_id, MALLORY, UploadState.KEPT_ASIDE)
    sessions.log.emit(end_of(session_id, "alice"), by=NODE)
    sessions.log.emit(end_of(session_id, "mallory"), by=MALLORY)
    [session] = sessions.found(SessionQuery(session_id=session_id), access_of(MALLORY))
    assert session == Session(session_id, asides=session.asides)
    assert [kept.upload_id for kept in session.asides] == [forged]
    assert sessions.ids(access=access_of(MALLORY)) == [], "its place in a list would tell when the session began"
    telling = SessionQuery(has_recording=True), SessionQuery(to_ms=2**50), SessionQuery(kinds=frozenset(SessionKind))
    for query in telling:
        assert sessions.ids(query, access_of(MALLORY)) == []
        assert sessions.ids(query, access_of(ALICE)) == [session_id]


def test_an_unconditional_right_asks_for_no_end(sessions: SessionRig) -> None:
    session_id = new_id()
    sessions.log.emit(session_event("session.start", session_id, user="bob"), by=NODE)
    assert sessions.refusal(everything(), session_id) == ""
    assert sessions.ids(access=everything()) == [session_id]


def test_a_session_that_isnt_there_is_refused_as_one_that_isnt_the_callers(sessions: SessionRig) -> None:
    assert sessions.refusal(access_of(ALICE, "read"), new_id()) != ""


def test_pages_are_filled_on_where_conditions_leave_out_most(sessions: SessionRig) -> None:
    mine = []
    for number in range(60):
        session_id = new_id()
        if number % 10 == 0:
            mine.append(session_id)
        sessions.log.emit(end_of(session_id, "alice" if number % 10 == 0 else "bob", time_ms=10**12 + number), by=PROXY)
    pages = list(sessions.all_pages(SessionQuery(page_size=2), access_of(ALICE)))
    assert [len(page.sessions) for page in pages] == [2, 2, 2]
    assert [session.session_id for page in pages for session in page.sessions] == mine[::-1]


@pytest.mark.parametrize("state", [UploadState.ABORTED, None])
def test_whoever_only_began_an_upload_is_no_uploader(sessions: SessionRig, state: UploadState | None) -> None:
    session_id = new_id()
    upload_id = sessions.begin_upload(session_id, NODE)
    if state is not None:
        sessions.end_upload(upload_id, state)
    sessions.log.emit(end_of(session_id, "alice"), by=NODE)
    access = access_of(ALICE, "read")
    assert sessions.refusal(access, session_id) != ""
    assert sessions.refusal(access, session_id, upload_id) != ""
    assert sessions.ids(access=access) == []


def test_another_sessions_upload_makes_nobody_uploader(sessions: SessionRig) -> None:
    session_id, other = new_id(), new_id()
    upload_id = sessions.record(other, MALLORY)
    sessions.log.emit(end_of(session_id, "mallory"), by=MALLORY)
    assert sessions.refusal(access_of(MALLORY, "read"), session_id, upload_id) != ""


def test_a_condition_that_denies_needs_an_end_too_and_must_hold_of_each(sessions: SessionRig) -> None:
    denied = seeing(Test(("participants",), Operator.HAS_ANY, ("bob",), holds=False))
    none, without, one_with = new_id(), new_id(), new_id()
    sessions.log.emit(session_event("session.start", none), by=PROXY)
    sessions.log.emit(end_of(without, "alice"), by=PROXY)
    sessions.log.emit(end_of(one_with, "alice"), end_of(one_with, "bob"), by=PROXY)
    assert sessions.ids(access=denied) == [without]
    assert [sessions.refusal(denied, each) == "" for each in (none, without, one_with)] == [False, True, False]


def test_nothing_is_decided_from_an_index_that_has_fallen_behind(sessions: SessionRig) -> None:
    session_id = new_id()
    sessions.log.store(end_of(session_id, "alice"), by=PROXY)
    folder = sessions.log.folder
    sessions.close()
    for path in folder.glob("state.db*"):
        path.unlink()
    again = SessionRig(SearchRig(folder, sessions.log.engine))
    for ask in (lambda: again.refusal(access_of(ALICE), session_id), lambda: again.ids(access=access_of(ALICE))):
        with pytest.raises(Unavailable):
            ask()
    again.rebuild()
    assert again.ids(access=access_of(ALICE)) == [session_id]
    again.threads.shutdown()
    again.log.log.uid_files.close()
    again.log.database.dispose()


def test_who_is_the_last_of_very_many_participants_sees_the_session_all_the_same(sessions: SessionRig) -> None:
    session_id = new_id()
    names = [f"{number:05}" for number in range(MAX_NAMES + 5)]
    sessions.log.emit(end_of(session_id, *names, "zoe"), by=PROXY)
    zoe = replace(ALICE, name="zoe")
    assert sessions.ids(access=access_of(zoe)) == [session_id]
    assert sessions.ids(access=access_of(replace(ALICE, name="zoe2"))) == []


@pytest.mark.parametrize("by_older_service", [False, True])
def test_ends_that_cant_count_arent_read_and_of_those_that_can_no_more_than_are_looked_at(
    sessions: SessionRig, by_older_service: bool
) -> None:
    flooded, true = new_id(), new_id()
    flood = [end_of(flooded, "alice", pad="x" * (MOST_OF_ENDS // 2)) for _ in range(4)]
    sessions.record(true, NODE)
    sessions.log.emit(end_of(true, "alice"), by=NODE)
    sessions.log.emit(*flood, by=NODE)
    generation, _ = sessions.index.follow()
    with sessions.log.database.begin() as connection:
        theirs = session_ends.c.session_id == flooded
        kept = connection.execute(select(session_ends.c.event).where(theirs).order_by(session_ends.c.sequence))
        assert kept.scalars().all() == [flood[0].decode(), ""]
        if by_older_service:  # which kept everything
            connection.execute(update(session_ends).where(theirs).values(event=flood[0].decode()))
    assert [end.session_id for end in sessions.pages.ends(generation, [flooded, true])] == [true]
    assert sessions.refusal(access_of(ALICE, "read"), flooded) == NO_END
    sessions.record(flooded, OTHER_NODE)
    sessions.log.emit(end_of(flooded, "alice"), by=OTHER_NODE)
    aside = sessions.record(flooded, NODE, UploadState.KEPT_ASIDE)
    read = list(sessions.pages.ends(sessions.index.follow()[0], [flooded, true]))
    assert sum(len(end.event or b"") for end in read) < 1_000
    # The flood hides what its emitter uploaded, and nothing else.
    assert sessions.refusal(access_of(ALICE, "read"), flooded, aside) == TOO_LARGE
    [session] = sessions.found(SessionQuery(session_id=flooded), access_of(ALICE))
    assert (session.recording is None, session.asides) == (False, ())


def test_many_recordings_of_a_session_have_each_end_parsed_once(
    sessions: SessionRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id, parsed = new_id(), list[bytes]()
    sessions.log.emit(end_of(session_id, "alice"), by=PROXY)
    for _ in range(5):
        sessions.record(session_id, NODE, UploadState.KEPT_ASIDE)

    def counted(data: bytes) -> object:
        parsed.append(data)
        return document_of(data)

    monkeypatch.setattr(conditions, "document_of", counted)
    [session] = sessions.found(access=access_of(ALICE))
    assert (len(session.asides), len(parsed)) == (5, 1)


TESTS = [
    Test(("participants",), Operator.HAS_ANY, ("alice", "bob"), holds=True),
    Test(("participants",), Operator.HAS_ALL, ("alice", "bob"), holds=True),
    Test(("participants",), Operator.ALL_IN, ("alice", "bob"), holds=True),
    Test(("participants",), Operator.ALL_END, ("e",), holds=True),
    Test(("participants",), Operator.HAS_ANY, ("alice",), holds=False),
    Test(("participants",), Operator.ONE_OF, ("alice",), holds=True),
    Test(("user",), Operator.ONE_OF, ("alice",), holds=True),
    Test(("login",), Operator.PREFIX, ("ro",), holds=True),
]


@pytest.mark.parametrize("seed", range(5))
def test_the_list_has_the_sessions_whose_ends_meet_the_condition_whatever_it_asks(
    sessions: SessionRig, seed: int
) -> None:
    randomness = random.Random(seed)
    documents = {}
    for _ in range(25):
        session_id = new_id()
        participants = randomness.choice([[], ["alice"], ["bob"], ["alice", "bob"], ["eve", "bob"], "alice", None, 7])
        data = end_of(session_id, participants=participants, user=randomness.choice(["alice", "bob"]), login="root")
        documents[session_id] = json.loads(data)
        sessions.log.emit(data, by=PROXY)
    for _ in range(20):
        some = tuple(randomness.sample(TESTS, 2))
        formula = randomness.choice([*some, AllOf(some), AnyOf(some), AnyOf((AllOf(some), some[0]))])
        condition = condition_of(seeing(formula))
        assert condition is not None
        wanted = sorted((each for each, document in documents.items() if holds(condition, document)), reverse=True)
        assert sessions.ids(access=seeing(formula)) == wanted, formula
