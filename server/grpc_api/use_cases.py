"""What the gRPC edge needs of the rest of the service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from typing import Protocol

from rbac.identities import Identity
from rbac.permissions import Permission
from rbac.policy import Grant, Policy
from server.access.locks import Lock, LockRequest
from server.access.rights import CheckedAccess
from server.audit_log.access import Access
from server.audit_log.denials import Refusal
from server.audit_log.export.blocks import Convert, EncodedBlock
from server.audit_log.export.chunk import ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.receipts import Acknowledgement, BatchAcknowledgement
from server.audit_log.search.query import EventSelector, FoundEvent, SearchPage, SearchQuery
from server.audit_log.state_of_service import ServiceState
from server.audit_log.validation import Payloads, UnreadPayloads
from server.audit_log.watching.query import Encode, Watched, WatchQuery
from server.integrations.signing_keys import SigningKey


class Intake(Protocol):
    """Takes events."""

    async def emit(self, access: Access, payload: bytes) -> Acknowledgement:
        """Store one event; durable when it returns.

        Raises:
            InvalidRequest: the event is wrong; fields are named relative to the event, such as `time`.
            ResourceExhausted, Unavailable: it isn't stored, or not known to be.
        """
        ...

    @property
    def has_room(self) -> bool:
        """Whether another message had better not wait for `until_room`."""
        ...

    async def until_room(self) -> None:
        """Wait, a bounded time, until there is room for another message."""
        ...

    def submit(
        self,
        access: Access,
        payloads: Payloads | UnreadPayloads,
        tell: Callable[[BatchAcknowledgement | Exception], None],
    ) -> None:
        """Validate and take a message's events at once; `tell` is told, once, when they are durable, or why they
        aren't.

        Raises:
            ResourceExhausted, Unavailable: nothing of the message is taken, and nothing is told.
        """
        ...


class Searches(Protocol):
    """Finds events."""

    async def search(  # the use case answers with what it has when the time is over, so it must know it
        self,
        access: Access,
        query: SearchQuery,
        convert: Callable[[SearchPage], bytes],
        *,
        timeout: float | None,  # noqa: ASYNC109
    ) -> bytes:
        """One page as `convert`, called on a thread, encodes it; `timeout` in seconds."""
        ...

    async def get(
        self,
        access: Access,
        selector: EventSelector,
        *,
        timeout: float | None,  # noqa: ASYNC109
    ) -> tuple[FoundEvent, bytes]:
        """One event, and its stored JSON.

        Raises:
            NotFound, FailedPrecondition: there is none; there are several.
        """
        ...


class Exports(Protocol):
    """Gives stored batches as chunks."""

    async def chunks(self, access: Access, query: ChunkQuery) -> ChunkPage:
        """One page of chunks.

        Raises:
            InvalidRequest, NotFound: the page token is wrong; there is no such storage.
        """
        ...

    def events(
        self, access: Callable[[], Access], query: ExportQuery, convert: Convert, /
    ) -> AsyncGenerator[EncodedBlock, None]:
        """The events of a chunk as `convert`, called on a thread, encodes them; `access` gives the caller as of now.

        Raises:
            NotFound, ResourceExhausted: there is no such chunk; too many exports are under way.
        """
        ...


class Watch(Protocol):
    """One watch."""

    async def next(self) -> Watched | None:
        """What the watcher is to be told next; None once it was told to end.

        Raises:
            PermissionDenied, Unauthenticated: the rights are lost. Unavailable: a storage can't be read now.
        """
        ...

    def end(self) -> None:
        """Have `next` give None, at once where it waits."""
        ...

    def close(self) -> None:
        """Take note that the watcher has gone."""
        ...


class Watches(Protocol):
    """Lets callers watch events."""

    async def begin(self, access: Callable[[], Access], query: WatchQuery, encode: Encode) -> Watch:
        """Begin to watch, once its trace is durable. `access` gives the rights as of now, or raises.

        Raises:
            InvalidRequest, NotFound: the place isn't of these logs; there is no such storage.
            ResourceExhausted, Unavailable: too many watch; the trace can't be journalled.
        """
        ...


class Status(Protocol):
    """Tells how the service is."""

    async def state(self, access: Access, *, show_location: bool) -> ServiceState:
        """The state; without names of the storage's place unless `show_location`."""
        ...


class Rights(Protocol):
    """Tells what roles there are and what they allow."""

    def policy(self) -> Policy:
        """The policy in use."""
        ...

    def check(self, identity: Identity, kind: str, verb: str) -> CheckedAccess:
        """Tell whether the identity may use the verb on the kind, and why."""
        ...


class Locks(Protocol):
    """Keeps the locks."""

    async def add(self, access: Access, request: LockRequest) -> Lock:
        """Create a lock, durable and in force when this returns.

        Raises:
            FailedPrecondition, ResourceExhausted: it would bar the caller; there are too many.
        """
        ...

    async def remove(self, access: Access, lock_id: str) -> None:
        """Delete a lock; it has ended, durably, when this returns.

        Raises:
            NotFound: no such lock is in force.
        """
        ...

    def in_force(self) -> list[Lock]:
        """The locks in force, sorted by time of creation and id."""
        ...


class KeyRotation(Protocol):
    """Rotates the keys that sign the service's tokens."""

    async def rotate(self, access: Access, *, drop_old: bool, reason: str) -> list[SigningKey]:
        """Have the next key sign; gives the keys as they are then, newest first.

        Raises:
            FailedPrecondition, Aborted: no issuer is configured, or the next key isn't published for long enough;
                another changed the keys meanwhile.
        """
        ...


class Authenticator(Protocol):
    """Turns certificates into identities."""

    def resolve(self, pem: bytes, peer: str, now: datetime) -> Identity:
        """The identity of a client certificate; asked for every call and every message of a stream, so cheap.

        Raises:
            Unauthenticated: the certificate gives none, or not now, or not from that peer.
        """
        ...


class LockCheck(Protocol):
    """Knows the locks."""

    def bars(self, identity: Identity, /) -> bool:
        """Tell whether a lock is on the identity now; asked for every call and every message of a stream, so cheap."""
        ...


class TokenAuthenticator(Protocol):
    """Turns bearer tokens into identities."""

    def resolve(self, token: str, now: datetime) -> Identity:
        """The identity of a token; asked for every call and every message of a stream, so cheap.

        Raises:
            Unauthenticated: the token gives none, or not now.
            NotKnownYet: its key isn't known; asking again after `learn` may go better.
            Unavailable: the issuer's keys can't be had.
        """
        ...


class Authoriser(Protocol):
    """One policy."""

    def permits(self, identity: Identity | None, permission: Permission | None, /) -> Grant | None:
        """What the permission grants the identity; None where it may not call."""
        ...

    def refusal(self, identity: Identity | None, permission: Permission | None, /) -> str:
        """Why the identity may not call, for the audit event: the caller isn't told."""
        ...


class Denials(Protocol):
    """Keeps the trace of refused calls."""

    def refused(self, access: Access, refusal: Refusal, count: int = 1) -> None:
        """Take note, at once; `count` is of refused events where the call itself goes on."""
        ...


class PolicySource(Protocol):
    """Holds the policy in use."""

    @property
    def current(self) -> Authoriser:
        """The policy in use; the next look may give another."""
        ...
