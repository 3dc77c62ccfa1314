"""What a general purpose bucket of S3 may be called."""

from __future__ import annotations

import re
from typing import Final

_CHARACTERS: Final = re.compile(r"[a-z0-9.-]{3,63}", re.ASCII)
_LABELS: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII)
_RESERVED_BEGINNINGS: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
"""Access points, object lambdas, multi-region access points, directory buckets and table buckets: not buckets that
objects can be kept in as the service does."""


def bucket_problem(name: str) -> str:
    """What is wrong with a bucket's name, as what it must be; '' where it is a good one.

    Dots are allowed, as S3 allows them: the clients then name the bucket in the path, where TLS host names don't
    matter.
    """
    if not _CHARACTERS.fullmatch(name):
        return "the bucket must be 3 to 63 characters of a-z 0-9 . -"
    if not _LABELS.fullmatch(name):
        return "the bucket must begin and end with a letter or digit, and so must each part between dots"
    if _ADDRESS.fullmatch(name):
        return "the bucket must not look like an IP address"
    for beginning in _RESERVED_BEGINNINGS:
        if name.startswith(beginning):
            return f"the bucket must not begin with {beginning}, which S3 keeps for itself"
    for end in _RESERVED_ENDS:
        if name.endswith(end):
            return f"the bucket must not end with {end}, which S3 keeps for itself"
    return ""
