"""Rules over the settings of traces."""

from __future__ import annotations

from collections.abc import Iterator

from server.config.rules import Problem, pem_problems
from server.config.sections import Config
from server.config.token_rules import fit_url


def trace_problems_of(config: Config) -> Iterator[Problem]:
    """Everything wrong with the part of a configuration that is about traces."""
    traces = config.traces
    if traces.endpoint is not None:
        url = fit_url(traces.endpoint)
        if url is None or url.path not in ("", "/") or url.port is None:
            text = "must be https://HOST:PORT, or http://HOST:PORT on loopback, of a collector that takes OTLP by gRPC"
            yield Problem("traces.endpoint", text)
        elif url.scheme == "http" and traces.ca is not None:
            yield Problem("traces.ca", "needs an https traces.endpoint")
    elif traces.ca is not None:
        yield Problem("traces.ca", "needs traces.endpoint as well")
    if traces.ca is not None:
        yield from pem_problems("traces.ca", traces.ca)
