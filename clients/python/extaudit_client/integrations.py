"""The part of the client that deals with integrations and signing keys."""

from __future__ import annotations

import builtins
from collections.abc import Iterator

from extaudit_client import integration_calls
from extaudit_client.calling import Caller
from extaudit_client.integration_rows import Integration
from extaudit_client.paging import pages
from extaudit_client.signing_keys import SigningKey


class Integrations:
    """Got from Client.integrations. Every method raises as the client's do."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def create(self, name: str, role_arn: str) -> Integration:
        """Create an integration; AlreadyExists where there is one of that name."""
        return self._caller.run(integration_calls.create(name, role_arn))

    def get(self, name: str) -> Integration:
        """Give an integration; NotFound where there is none of that name."""
        return self._caller.run(integration_calls.get(name))

    def list(self) -> Iterator[Integration]:
        """Give all of them, by name."""
        for page in pages(lambda token: self._caller.run(integration_calls.page(token)), ""):
            yield from page.items

    def update(self, name: str, role_arn: str, revision: str, *, force: bool = False, reason: str = "") -> Integration:
        """Give an integration another role, from the revision that was read: StaleRevision where it has changed since.

        Where the storage in force is reached by it, a connection test must have passed with the new role, or `force` be
        set with a reason: PreconditionFailed else.
        """
        return self._caller.run(integration_calls.update(name, role_arn, revision, force=force, reason=reason))

    def delete(self, name: str, revision: str = "") -> None:
        """Delete an integration, of any revision where none is given; PreconditionFailed while something needs it."""
        self._caller.run(integration_calls.delete(name, revision))

    def rotate_signing_key(self, reason: str = "", *, drop_old: bool = False) -> builtins.list[SigningKey]:
        """Have the next key sign the service's tokens from now on; gives the keys, newest first.

        `drop_old` takes the key that signed until now out of the published set at once, and needs a reason.
        """
        return self._caller.run(integration_calls.rotate_signing_key(reason, drop_old=drop_old))
