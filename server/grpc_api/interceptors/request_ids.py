"""Every call has a request id: the client's, if it is a fit one, else one of ours."""

from __future__ import annotations

import itertools
import re
import secrets

from server.grpc_api.call import Call
from server.observability.logs import REQUEST_ID

HEADER = "x-request-id"
_FIT = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


class RequestIds:
    """Gives ids: a random prefix of this process and a number, since randomness for every call costs more."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def give(self, call: Call) -> None:
        """Set the call's request id, for the log as well."""
        call.request_id = self._given(call) or f"{self._prefix}-{next(self._numbers)}"
        # Every call runs in a context of its own, so there is nothing to put back.
        REQUEST_ID.set(call.request_id)

    def _given(self, call: Call) -> str:
        for name, value in call.metadata:
            if name == HEADER and isinstance(value, str) and _FIT(value):
                return value
        return ""
