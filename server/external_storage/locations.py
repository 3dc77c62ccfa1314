"""What the URI of a place in S3 must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from server.external_storage.bucket_names import bucket_problem
from server.storage.spec import S3Location

SCHEME: Final = "s3://"
MAX_CHARACTERS: Final = 512
_BUCKET_END: Final = re.compile(r"[/?#]", re.ASCII)
_PREFIX: Final = re.compile(r"[A-Za-z0-9!_.()/-]*", re.ASCII)


def location_problems(uri: str) -> Iterator[str]:
    """Everything wrong with a URI, each as what it must be; nothing where it is `s3://<bucket>/<prefix>`."""
    if len(uri) > MAX_CHARACTERS:
        yield f"must be at most {MAX_CHARACTERS} characters"
    if not uri.startswith(SCHEME):
        yield "must begin with s3://, in lower case"
        return
    rest = uri.removeprefix(SCHEME)
    end = _BUCKET_END.search(rest)
    yield from _authority_problems(rest[: end.start()] if end else rest)
    yield from _path_problems(rest[end.start() :] if end else "")


def is_within(inner: S3Location, outer: S3Location) -> bool:
    """Whether all objects of one place are objects of the other, or the two are the same."""
    return inner.bucket == outer.bucket and f"{inner.prefix}/".startswith(f"{outer.prefix}/")


def _authority_problems(authority: str) -> Iterator[str]:
    if "@" in authority:
        yield "must have no user and password"
    elif ":" in authority:
        yield "must have no port"
    elif problem := bucket_problem(authority):
        yield problem


def _path_problems(text: str) -> Iterator[str]:
    path, has_fragment, _ = text.partition("#")
    path, has_query, _ = path.partition("?")
    if has_query:
        yield "must have no query"
    if has_fragment:
        yield "must have no fragment"
    prefix = path.removeprefix("/")
    if not prefix:
        # With the whole bucket as its place, a storage would be within every other, and results would expire beside
        # what others keep there.
        yield "must have a prefix after the bucket"
    elif not _PREFIX.fullmatch(prefix):
        yield "the prefix must be of A-Z a-z 0-9 ! _ . ( ) - and slashes"
    else:
        yield from _segment_problems(prefix)


def _segment_problems(prefix: str) -> Iterator[str]:
    if "" in prefix.split("/"):
        yield "the prefix must neither begin nor end with a slash, nor have two in a row"
    if ".." in prefix or "." in prefix.split("/"):
        yield "the prefix must not have .. in it, nor a single dot between slashes"
