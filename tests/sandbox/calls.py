"""What was asked of the sandbox, in order: for the question which actions a suite ever sent."""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from dataclasses import asdict, dataclass

from tests.sandbox.refusals import JSON_SERVICES, Answer
from tests.sandbox.sent import Sent

_MOST = 200_000


@dataclass(frozen=True)
class Call:
    """One action of one request. A request that needs several has one of each; `via` is the service that acts for
    the caller, or empty. `outcome` is "OK" or AWS's error code."""

    service: str
    operation: str
    action: str
    resource: str
    caller: str
    outcome: str
    via: str = ""


class Calls:
    """The last 200,000 calls; of the service's own, each action is in `sent` too."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._calls: deque[Call] = deque(maxlen=_MOST)
        self._lock = threading.Lock()

    def add(self, *calls: Call) -> None:
        """Keep these."""
        with self._lock:
            self._calls.extend(calls)
            for call in calls:
                self._sent.note(call)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._calls.clear()

    def as_json(self) -> list[dict[str, str]]:
        """All, oldest first."""
        with self._lock:
            return [asdict(call) for call in self._calls]


def outcome(answer: Answer, service: str) -> str:
    """What became of a request: "OK", AWS's code, or the status where no code is told (HEAD)."""
    if answer.status < 300:
        return "OK"
    if service in JSON_SERVICES:
        try:
            code = str(json.loads(answer.body).get("__type", ""))
        except (ValueError, AttributeError):
            code = ""
    else:
        found = re.search(rb"<Code>([^<]+)</Code>", answer.body)
        code = found.group(1).decode() if found else ""
    return code.rpartition("#")[2] or str(answer.status)
