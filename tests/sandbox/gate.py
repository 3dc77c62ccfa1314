"""Stands before moto's server: reads a request, has every check look at it, hands it on, keeps what became of it."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.sandbox.administration import PREFIX, Administration
from tests.sandbox.asked import Asked, read_request
from tests.sandbox.calls import Call, Calls, outcome
from tests.sandbox.permissions import needed_permissions
from tests.sandbox.policies import UNKNOWN, Permission
from tests.sandbox.refusals import Answer, Refused, refusal

Check = Callable[[Asked], None]
"""Raises Refused, or lets the request pass."""
Answerer = Callable[[Asked], Answer]
"""Answers in moto's place."""
Rule = Callable[[Asked, Callable[[], Answer]], Answer]
"""Stands around what moto does, which is the second argument; is called while the lock is held."""
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Gate:
    """A WSGI application."""

    def __init__(
        self,
        moto: Wsgi,
        checks: Sequence[Check],
        rules: Sequence[Rule],
        answerers: Mapping[tuple[str, str], Answerer],
        calls: Calls,
        administration: Administration,
        lock: threading.Lock,
    ) -> None:
        """`checks` in the order AWS has them; `rules` of S3, outermost first; `answerers` by service and operation.
        `lock` is held while moto works: it looks first and writes later, and has no locks of its own, so that
        conditional writes would race."""
        self._moto = moto
        self._checks = checks
        self._rules = rules
        self._answerers = answerers
        self._calls = calls
        self._administration = administration
        self._lock = lock

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        path = str(environ.get("PATH_INFO", ""))
        if path.startswith(PREFIX):
            length = int(environ.get("CONTENT_LENGTH") or 0)
            answer = self._administration.answer(path, environ["wsgi.input"].read(length))
        else:
            answer = self._answer(environ)
        headers = [(name, value) for name, value in answer.headers if name.lower() != "connection"]
        if not answer.header("Content-Length"):
            headers.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {'OK' if answer.status < 400 else 'Refused'}", headers)
        return [answer.body]

    def _answer(self, environ: dict[str, Any]) -> Answer:
        try:
            asked = read_request(environ)
        except Refused as refused:
            return refusal(refused, "s3")
        try:
            answer = self._passed(asked)
        except Refused as refused:
            answer = refusal(refused, asked.service, asked.request.method)
        except Exception:
            traceback.print_exc()
            answer = refusal(Refused("InternalFailure", "The sandbox failed.", 500), asked.service)
        self._calls.add(*_calls(asked, outcome(answer, asked.service)))
        return answer

    def _passed(self, asked: Asked) -> Answer:
        for check in self._checks:
            check(asked)
        answerer = self._answerers.get((asked.service, asked.operation))
        if answerer is not None:
            return answerer(asked)
        with self._lock:
            return self._ruled(asked, self._rules if asked.service == "s3" else ())

    def _ruled(self, asked: Asked, rules: Sequence[Rule]) -> Answer:
        if not rules:
            return run(self._moto, asked.rewound())
        return rules[0](asked, lambda: self._ruled(asked, rules[1:]))


def run(application: Wsgi, environ: dict[str, Any]) -> Answer:
    """What a WSGI application answers, whole."""
    begun: list[tuple[int, list[tuple[str, str]]]] = []
    parts = application(environ, lambda status, headers, *_: begun.append((int(status.split()[0]), headers)))
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    status, headers = begun[-1]
    return Answer(status, headers, body)


def _calls(asked: Asked, result: str) -> list[Call]:
    needed = asked.kept.get("permissions") or needed_permissions(asked)
    caller = asked.caller.arn if asked.caller else asked.kept.get("caller", "anonymous")
    if not needed:
        needed = [Permission(f"{asked.service}:{asked.operation}", asked.text("RoleArn") or UNKNOWN)]
    return [Call(asked.service, asked.operation, each.action, each.resource, caller, result) for each in needed]
