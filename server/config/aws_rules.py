"""Rules over the settings of how AWS is reached."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from server.config.rules import Problem, pem_problems
from server.config.sections import Config
from server.config.token_rules import fit_url


def aws_problems_of(config: Config) -> Iterator[Problem]:
    """Everything wrong with the part of a configuration that is about AWS."""
    aws = config.aws
    for name, endpoint in (("aws.endpoint", aws.endpoint), ("aws.s3_endpoint", aws.s3_endpoint)):
        if endpoint is not None:
            url = fit_url(endpoint)
            if url is None or url.path not in ("", "/") or url.query:
                yield Problem(name, "must be https://HOST or https://HOST:PORT, or http on loopback")
    if aws.s3_versioning == "optional" and aws.s3_endpoint is None:
        yield Problem("aws.s3_versioning", "can be optional only where aws.s3_endpoint names another store than AWS's")
    if aws.proxy is not None and not _is_proxy(aws.proxy):
        yield Problem("aws.proxy", "must be http://HOST:PORT, without name and password")
    if aws.ca is not None:
        yield from pem_problems("aws.ca", aws.ca)


def _is_proxy(text: str) -> bool:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return False
    bare = url.path in ("", "/") and not url.query and not url.fragment and "@" not in url.netloc
    return url.scheme in ("http", "https") and bool(url.hostname) and port is not None and bare
