"""Lists of sessions: filters against a plain reading of each session, pages, and sessions that only uploads tell of."""

from __future__ import annotations

import random
from dataclasses import asdict, replace

import pytest
from sqlalchemy import insert

from server.errors import InvalidRequest
from server.grpc_api.recording_messages import list_response
from server.recordings.recording import UploadState
from server.recordings.sessions.listing import MOST_KEPT
from server.recordings.sessions.session import SessionKind, SessionPage, SessionQuery
from server.state.database import writing
from server.state.tables import uploads
from tests.contract.session_histories import NAMES, SERVERS, TARGETS, Expected, expected, history
from tests.contract.session_rig import ALICE, NODE, NOON, SessionRig, end_of, everything, new_id, session_event

DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024
"""What gRPC clients take unless they are told otherwise."""


def fold(text: str) -> str:
    """A-Z as a-z."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)


def passes(one: Expected, query: SessionQuery, recorded: set[str], open_: set[str]) -> bool:
    """Whether a session passes the filters, read one by one."""
    end = one.ended_ms if one.ended_ms is not None else 2**62
    texts = [one.session_id, one.user, *one.participants, one.server_id, one.target]
    return all(
        (
            query.from_ms is None or end >= query.from_ms,
            query.to_ms is None or one.begun_ms < query.to_ms,
            not query.kinds or one.kind in query.kinds,
            not query.users or one.user in query.users,
            not query.participant or query.participant in one.participants,
            not query.server_id or one.server_id == query.server_id,
            query.active_at_ms is None or one.begun_ms <= query.active_at_ms <= end,
            query.has_recording is None or (one.session_id in recorded) is query.has_recording,
            query.has_upload is None or (one.session_id in open_) is query.has_upload,
            not query.text or any(fold(query.text) in fold(text) for text in texts),
            not query.session_id or one.session_id == query.session_id,
        )
    )


def random_query(randomness: random.Random, known: list[Expected]) -> SessionQuery:
    some, times = randomness.choice(known), [one.begun_ms for one in known]
    asked: dict[str, object] = {
        "from_ms": randomness.choice(times) + randomness.randrange(-1, 2),
        "to_ms": randomness.choice(times) + randomness.randrange(-1, 2),
        "kinds": frozenset(randomness.sample(list(SessionKind), 2)),
        "users": frozenset(randomness.sample(NAMES, 2)),
        "participant": randomness.choice(NAMES),
        "server_id": randomness.choice(SERVERS),
        "active_at_ms": randomness.choice(times) + randomness.randrange(-1, 2),
        "has_recording": randomness.random() < 0.5,
        "has_upload": randomness.random() < 0.5,
        "text": randomness.choice(["A", "OB", "zoË", "%", "_", "\\", "-main", *NAMES, *TARGETS, some.session_id[3:9]]),
        "session_id": some.session_id,
    }
    names = randomness.sample(sorted(asked), randomness.randrange(1, 4))
    return SessionQuery(**{name: asked[name] for name in names}, page_size=randomness.choice([1, 3, 1000]))  # type: ignore[arg-type]  # as the names say


@pytest.mark.parametrize("seed", range(6))
def test_every_filter_and_page_gives_what_reading_each_session_would_give(sessions: SessionRig, seed: int) -> None:
    randomness = random.Random(seed)
    events = history(randomness, 30)
    for event in events:
        sessions.log.emit(event.data, by=event.by)
    known = expected(events)
    recorded, open_ = set[str](), set[str]()
    for session_id in randomness.sample(sorted(known), 10):
        # By nobody that says anything, so that what is said counts as before.
        upload_id = sessions.begin_upload(session_id, ALICE)
        if randomness.random() < 0.5:
            sessions.end_upload(upload_id)
            recorded.add(session_id)
        else:
            open_.add(session_id)
    in_order = sorted(known.values(), key=lambda one: (one.begun_ms, one.session_id), reverse=True)
    for query in (random_query(randomness, in_order) for _ in range(60)):
        wanted = [one.session_id for one in in_order if passes(one, query, recorded, open_)]
        assert sessions.ids(query) == wanted, query


def test_sessions_of_one_moment_come_once_each_whatever_the_page(sessions: SessionRig) -> None:
    ids = [new_id() for _ in range(7)]
    for session_id in ids:
        sessions.log.emit(session_event("session.start", session_id), by=NODE)
    for size in (1, 2, 3, 7, 8):
        assert sessions.ids(SessionQuery(page_size=size)) == sorted(ids, reverse=True)


def test_a_long_name_is_found_by_all_of_it_and_a_text_with_nul_is_in_none(sessions: SessionRig) -> None:
    session_id, name = new_id(), "n" * 600
    sessions.log.emit(session_event("session.start", session_id, user=name, server_id="node-1"), by=NODE)
    assert sessions.ids(SessionQuery(users=frozenset({name}), participant=name)) == [session_id]
    assert sessions.ids(SessionQuery(text="node-1")) == [session_id]
    assert sessions.ids(SessionQuery(text="node-1\0")) == []


def test_a_token_is_for_its_caller_and_query_alone(sessions: SessionRig) -> None:
    for _ in range(3):
        sessions.log.emit(session_event("session.start", new_id()), by=NODE)
    query = SessionQuery(page_size=1)
    token = sessions.page(query).next_page_token
    assert sessions.page(replace(query, page_token=token, page_size=2)).sessions
    stranger = replace(everything(), identity=replace(ALICE, name="stranger"))
    wrong = [
        (replace(query, page_token=token, text="a"), everything()),
        (replace(query, page_token=token), stranger),
        (replace(query, page_token=token[:-1] + ("A" if token[-1] != "A" else "B")), everything()),
        (replace(query, page_token="?"), everything()),
    ]
    for asked, access in wrong:
        with pytest.raises(InvalidRequest) as refused:
            sessions.page(asked, access)
        assert refused.value.reason == "INVALID_PAGE_TOKEN"


def test_a_session_that_only_an_upload_tells_of_is_listed_and_gains_what_events_say(sessions: SessionRig) -> None:
    session_id = new_id()
    upload_id = sessions.begin_upload(session_id, NODE, NOON)
    [found] = sessions.found(SessionQuery(has_upload=True))
    assert (found.session_id, found.kind, found.recording) == (session_id, SessionKind.UNKNOWN, None)
    assert [upload.upload_id for upload in found.uploads] == [upload_id]
    sessions.rebuild()
    assert sessions.found() == [found]
    sessions.end_upload(upload_id)
    [found] = sessions.found(SessionQuery(has_upload=False, has_recording=True))
    assert found.recording is not None
    assert (found.recording.upload_id, found.uploads) == (upload_id, ())
    sessions.log.emit(end_of(session_id, "alice", time_ms=NOON + 5), by=NODE)
    [found] = sessions.found()
    assert (found.user, found.ended_ms) == ("alice", NOON + 5)
    sessions.rebuild()
    assert sessions.found() == [found]


def test_asides_and_aborted_uploads_are_listed_with_their_session(sessions: SessionRig) -> None:
    session_id = new_id()
    first = sessions.record(session_id, NODE)
    aside = sessions.record(session_id, NODE, UploadState.KEPT_ASIDE)
    aborted = sessions.record(session_id, NODE, UploadState.ABORTED)
    [found] = sessions.found()
    assert found.recording is not None
    assert found.recording.upload_id == first
    assert [kept.upload_id for kept in found.asides] == [aside]
    assert [upload.upload_id for upload in found.uploads] == [aborted]


def test_a_page_of_sessions_with_very_many_participants_is_short_and_none_is_left_out(sessions: SessionRig) -> None:
    names = [f"{number:03}" + "n" * 400 for number in range(900)]
    ids = [new_id() for _ in range(5)]
    for number, session_id in enumerate(ids):
        sessions.log.emit(end_of(session_id, *names, time_ms=NOON + number), by=NODE)
    pages = list(sessions.all_pages())
    assert [session.session_id for page in pages for session in page.sessions] == ids[::-1]
    assert len(pages) == 2


def size_of(page: SessionPage) -> int:
    """Bytes of the answer that a page becomes."""
    return list_response(page).ByteSize()


def test_any_number_of_uploads_of_a_session_leaves_it_and_the_others_listed(sessions: SessionRig) -> None:
    flooded, other = new_id(), new_id()
    for one in (flooded, other):
        sessions.record(one, NODE)
    begun = [sessions.upload_row(flooded, NODE) for _ in range(MOST_KEPT + 1)]
    with writing(sessions.log.database).begin() as connection:
        connection.execute(insert(uploads), [asdict(row) for row in begun])
    pages = list(sessions.all_pages())
    assert {session.session_id for page in pages for session in page.sessions} == {flooded, other}
    [(first, missing)] = [(one, page.missing) for page in pages for one in page.sessions if one.session_id == flooded]
    assert len(first.uploads) == MOST_KEPT
    assert missing == (f"session {flooded} has more than the {MOST_KEPT} asides or uploads that are listed",)
    assert max(map(size_of, pages)) < DEFAULT_MESSAGE_BYTES


def test_a_page_fits_a_client_s_message_whatever_sessions_are_called(sessions: SessionRig) -> None:
    long = "\U0001f600" * 512
    ids = {new_id() for _ in range(900)}
    for one in ids:
        sessions.log.emit(end_of(one, long, server_id=long, server_hostname=long), by=ALICE)
    pages = list(sessions.all_pages(SessionQuery(page_size=1000)))
    assert max(map(size_of, pages)) < DEFAULT_MESSAGE_BYTES
    assert {session.session_id for page in pages for session in page.sessions} == ids
