"""A service that stores what an emitter sends, and can be made to fail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from extaudit.v1 import audit_log_service_pb2 as pb
from extaudit_client import (
    Retries,
)

from tests.unit.client.fake_service import acknowledge

FAST = Retries(first_delay=0.01)


Stream = Iterator[pb.EmitEventsRequest]


Answers = Iterator[pb.EmitEventsResponse]


class Stored:
    """Keeps what comes, as the service would: by uid, the first one counts."""

    def __init__(self) -> None:
        self.events: dict[str, bytes] = {}
        self.messages = 0
        self.before: Callable[[pb.EmitEventsRequest], None] = lambda request: None
        self.refuses: Callable[[bytes], bool] = lambda event: False

    def __call__(self, requests: Stream) -> Answers:
        for request in requests:
            self.messages += 1
            self.before(request)
            refused = [
                pb.RefusedEvent(index=index, violations=[pb.EventViolation(field="event", description="no")])
                for index, event in enumerate(request.events)
                if self.refuses(event.json)
            ]
            known = [
                pb.RepeatedEvent(index=index, storage="s", log_id="l", sequence=1)
                for index, event in enumerate(request.events)
                if not self.refuses(event.json) and self.keep(event.json)
            ]
            yield acknowledge(request, refused=refused, repeated=known)

    def keep(self, event: bytes) -> bool:
        uid = json.loads(event)["uid"]
        known = uid in self.events
        assert not known or self.events[uid] == event, "a retry has the same bytes"
        self.events[uid] = event
        return known
