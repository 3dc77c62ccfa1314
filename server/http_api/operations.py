"""The operations listener: is the process alive, is it ready, what do its metrics say. No data and no control."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from server.audit_log.state_of_service import Problem
from server.observability.alerts.alerts import Alert
from server.observability.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def operations_app(
    problems: Callable[[], Sequence[Problem]],
    render_metrics: Callable[[], bytes],
    alerts: Callable[[], Sequence[Alert]] = tuple,
    is_stopping: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The application with its three paths.

    Args:
        problems: What keeps the service from taking events or answering searches now; empty when it is ready. What is
            merely worth a warning doesn't belong here. All callables run on the loop, so none may block.
        render_metrics: All metrics, in Prometheus' text form.
        alerts: Those that are raised, which leave the service ready.
        is_stopping: Whether it takes no new calls any more.
    """

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n", headers=_HEADERS)

    async def ready(_: Request) -> Response:
        names = [*(["stopping"] if is_stopping() else []), *_problem_names(problems)]
        raised = sorted({alert.id for alert in alerts()})
        if not names and not raised:
            return PlainTextResponse("ready\n", headers=_HEADERS)
        told = {"problems": names} | ({"alerts": raised} if raised else {})
        return JSONResponse(told, status_code=503 if names else 200, headers=_HEADERS)

    async def metrics(_: Request) -> Response:
        return Response(render_metrics(), headers=_HEADERS | {"Content-Type": CONTENT_TYPE})

    routes = [Route("/healthz", alive), Route("/readyz", ready), Route("/metrics", metrics)]
    app = Starlette(routes=routes)
    # Only the paths above exist; a redirect to one with or without a slash would be another answer.
    app.router.redirect_slashes = False
    return app


def _problem_names(problems: Callable[[], Sequence[Problem]]) -> list[str]:
    """Names only: the descriptions are for callers with an identity."""
    try:
        return [problem.name for problem in problems()]
    except Exception:
        # Not knowing is not being ready, and a probe needs an answer that says so.
        log.exception("the state of the service can't be told")
        return ["state_unknown"]
