"""What a session's id looks like: there is one spelling of each, so that no session has two recordings."""

from __future__ import annotations

import re

_CANONICAL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def is_session_id(text: str) -> bool:
    """Whether the text is a UUID in lower case with hyphens, and nothing else."""
    return _CANONICAL.fullmatch(text) is not None
