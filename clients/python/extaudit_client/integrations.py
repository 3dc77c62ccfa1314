"""The part of the client that deals with integrations and signing keys."""

from __future__ import annotations

from extaudit_client import integration_calls
from extaudit_client.calling import Caller
from extaudit_client.signing_keys import SigningKey


class Integrations:
    """Got from Client.integrations. Every method raises as the client's do."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def rotate_signing_key(self, reason: str = "", *, drop_old: bool = False) -> list[SigningKey]:
        """Have the next key sign the service's tokens from now on; gives the keys, newest first.

        `drop_old` takes the key that signed until now out of the published set at once, and needs a reason.
        """
        return self._caller.run(integration_calls.rotate_signing_key(reason, drop_old=drop_old))
