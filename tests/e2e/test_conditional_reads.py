"""Roles with conditions over the wire: who may see which events, from tail, batches and pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit.v1 import event_pb2, status_service_pb2
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.status_service_pb2_grpc import StatusServiceStub

from server.certificates.issuing import issue_user
from server.config import JournalSection
from server.lifecycle import App
from tests.polling import until
from tests.running_app import running_app

ROLES = """\
kind: role
version: v7
metadata: {name: own-events}
spec:
  allow:
    rules:
    - resources: [event]
      verbs: [list]
      where: contains(event.participants, user.metadata.name)
---
kind: role
version: v7
metadata: {name: no-secrets}
spec:
  deny:
    rules:
    - resources: [event]
      verbs: [list]
      where: event.level == "secret" || event.level == 3
---
kind: role
version: v7
metadata: {name: no-one}
spec:
  allow:
    rules:
    - resources: [event]
      verbs: [list]
      where: user.metadata.name == "no-one" && event.level == "open"
---
kind: role
version: v7
metadata: {name: no-records-of-odd-ones}
spec:
  deny:
    rules:
    - resources: ['*']
      verbs: ['*']
      where: event.level == "odd"
"""

EVENTS = [
    {"participants": ["alice", "bob"], "level": "open"},
    {"participants": ["bob"], "level": "open"},
    {"participants": ["alice"], "level": "secret"},
    {"participants": ["alice"]},
    {"level": "open"},
    {"participants": [], "level": 3},
    {"participants": {"alice": True}, "level": ["open"]},
]
SECONDS = 60


class Service:
    """The running service, and what its users see."""

    def __init__(self, app: App, folder: Path) -> None:
        self._app = app
        self._folder = folder
        pems = (Path(app.ready[name]).read_bytes() for name in ("ca", "key", "cert"))
        self._admin = grpc.secure_channel(app.ready["grpc"], grpc.ssl_channel_credentials(*pems))
        self._channels = [self._admin]
        self.admin = AuditLogServiceStub(self._admin)

    def load_roles(self, text: str, name: str) -> None:
        """Put a file of roles where the service looks, and wait until it has."""
        (self._folder / "data" / "roles" / "roles.yaml").write_text(text)
        end = time.monotonic() + SECONDS
        status = StatusServiceStub(self._admin)
        while name not in status.GetStatus(status_service_pb2.GetStatusRequest()).roles:
            assert time.monotonic() < end, "the roles weren't loaded"

    def user(self, name: str, *roles: str) -> AuditLogServiceStub:
        """A user's way in."""
        folder = self._folder / f"{name}-{len(self._channels)}"
        issued = issue_user(self._app.config.data_dir, name, roles, 1, folder)
        pems = (Path(path).read_bytes() for path in (issued.ca, issued.key, issued.certificate))
        channel = grpc.secure_channel(self._app.ready["grpc"], grpc.ssl_channel_credentials(*pems))
        self._channels.append(channel)
        return AuditLogServiceStub(channel)

    def emit(self, uid: str, **members: Any) -> None:
        """Store an event as the administrator."""
        data = json.dumps({"event": "x", "uid": uid, **members}).encode()
        self.admin.EmitEvent(pb.EmitEventRequest(event=event_pb2.EventPayload(json=data)))

    def close(self) -> None:
        """Close all channels."""
        for channel in self._channels:
            channel.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running_app(tmp_path / "data", journal=JournalSection(cut_events=10)) as app:
        service = Service(app, tmp_path)
        service.load_roles(ROLES, "own-events")
        yield service
        service.close()


def seen(stub: AuditLogServiceStub, page_size: int) -> list[str]:
    request, uids = pb.SearchEventsRequest(types=["x"], page_size=page_size), []
    while True:
        page = stub.SearchEvents(request)
        assert page.complete
        uids += [row.uid for row in page.events]
        if not page.next_page_token:
            assert watched(stub) == sorted(uids)
            return sorted(uids)
        request.page_token = page.next_page_token


def watched(stub: AuditLogServiceStub) -> list[str]:
    """What a watch from the beginning on gives."""
    wanted = query_pb.EventFilter(types=["x"])
    watch, uids = stub.WatchEvents(watch_pb.WatchEventsRequest(filter=wanted, after=watch_pb.LogPlace())), []
    for answer in watch:
        uids += [row.uid for row in answer.events]
        if answer.caught_up:
            watch.cancel()
            break
    return sorted(uids)


def code_of(call: Any) -> tuple[grpc.StatusCode, str, bytes]:
    with pytest.raises(grpc.RpcError) as refused:
        list(call) if hasattr(call, "__iter__") else call()
    error: Any = refused.value
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    return error.code(), error.details(), details


def test_users_see_just_the_events_that_their_roles_admit(service: Service) -> None:
    for number in range(35):
        service.emit(f"u{number:02}", **EVENTS[number % 7])

    def of(*kinds: int) -> list[str]:
        return sorted(f"u{number:02}" for number in range(35) if number % 7 in kinds)

    for page_size in (2, 1000):
        assert seen(service.user("alice", "own-events"), page_size) == of(0, 2, 3)
        assert seen(service.user("bob", "own-events"), page_size) == of(0, 1)
        assert seen(service.user("carol", "own-events"), page_size) == []
        assert seen(service.user("dave", "auditor", "no-secrets"), page_size) == []
        assert seen(service.user("alice", "own-events", "no-secrets"), page_size) == []
        assert seen(service.user("eve", "auditor", "own-events"), page_size) == of(*range(7))


def test_a_deny_with_one_comparison_hides_what_matches_and_what_can_not_be_told(service: Service) -> None:
    service.load_roles(ROLES.replace(" || event.level == 3", "").replace("no-one", "no-two"), "no-two")
    for number in range(14):
        service.emit(f"u{number:02}", **EVENTS[number % 7])
    auditor = service.user("dave", "auditor", "no-secrets")
    assert seen(auditor, 3) == sorted(f"u{number:02}" for number in range(14) if number % 7 in (0, 1, 4))


def test_what_is_not_there_and_what_may_not_be_seen_answer_alike(service: Service) -> None:
    service.emit("own", participants=["alice"])
    service.emit("others", participants=["bob"])
    alice = service.user("alice", "own-events")
    [first, *_] = list(alice.GetEvent(pb.GetEventRequest(uid="own")))
    assert first.event.uid == "own"
    gone = code_of(alice.GetEvent(pb.GetEventRequest(uid="nowhere")))
    request = pb.SearchEventsRequest(types=["extaudit.access.denied"])
    until(lambda: service.admin.SearchEvents(request).events)  # as of what is hidden: nobody tells them apart by it
    hidden = code_of(alice.GetEvent(pb.GetEventRequest(uid="others")))
    assert hidden == gone
    assert hidden[0] is grpc.StatusCode.NOT_FOUND
    assert hidden[1] == "there is no such event"


def test_a_condition_that_is_false_whatever_the_event_refuses_the_call(service: Service) -> None:
    alice = service.user("alice", "no-one")
    code, message, _ = code_of(lambda: alice.SearchEvents(pb.SearchEventsRequest()))
    assert (code, message) == (grpc.StatusCode.PERMISSION_DENIED, "access denied")


def test_changed_roles_count_from_the_next_page_on(service: Service) -> None:
    for number in range(6):
        service.emit(f"u{number}", participants=["alice"] if number % 2 else ["bob"], level="open")
    dave = service.user("alice", "auditor", "no-secrets")
    service.load_roles(ROLES.replace(" || event.level == 3", "").replace("no-one", "no-two"), "no-two")
    request = pb.SearchEventsRequest(types=["x"], page_size=2)
    first = dave.SearchEvents(request)
    assert [row.uid for row in first.events] == ["u5", "u4"]
    text = ROLES.replace('event.level == "secret" || event.level == 3', 'contains(event.participants, "bob")')
    service.load_roles(text.replace("no-one", "no-three"), "no-three")
    request.page_token = first.next_page_token
    assert [row.uid for row in dave.SearchEvents(request).events] == ["u3", "u1"]


def test_recording_is_refused_where_a_deny_would_have_to_look_at_the_event(service: Service) -> None:
    data = event_pb2.EventPayload(json=b'{"event":"x"}')
    request = pb.EmitEventRequest(event=data)
    service.user("ivy", "importer").EmitEvent(request)
    odd = service.user("ivy", "importer", "no-records-of-odd-ones")
    assert code_of(lambda: odd.EmitEvent(request))[0] is grpc.StatusCode.PERMISSION_DENIED
