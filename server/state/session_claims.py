"""What emitters say of sessions, and what the session index makes of it.

A claim is all that one emitter has said of one session. Claims merge to the same one in whatever order, and however
often, their events come; so does what is made of several emitters' claims.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import orjson

MAX_NAMES = 1_000
"""Participants and servers that are kept of a claim, the first in the order of texts."""
MAX_TEXT = 512
"""Characters that are kept of a text."""

_T = TypeVar("_T", tuple[int, int], tuple[int, int, str])

Said = tuple[int, int, str]
"""How well the event knows it (0 is best), its time in ms, and what it says. The smallest one counts."""


class Voice(enum.IntEnum):
    """How much the one who says it counts."""

    OTHER = 0
    """A user, the service, or nobody known: whoever may create events can say anything."""
    COMPONENT = 1
    """Any component."""
    UPLOADER = 2
    """The component that uploaded the session's recording."""
    VOUCHED = 3
    """A Proxy or Auth component."""


class Speaker(NamedTuple):
    """Who said it, as far as it decides how much it counts."""

    emitter: str
    """As `identity_digest` has it; '' for nobody known."""
    is_component: bool
    vouches: bool
    """Whether it is a Proxy or Auth component by its receipt."""

    def voice(self, uploader: str | None) -> Voice:
        """How much it counts for a session whose recording, if there is one, this emitter uploaded.

        A user's word weighs no more by it: whoever may upload anybody's recording could say anything of any session.
        """
        if self.vouches:
            return Voice.VOUCHED
        if not self.is_component:
            return Voice.OTHER
        return Voice.UPLOADER if self.emitter == uploader else Voice.COMPONENT


NOBODY = Speaker("", is_component=False, vouches=False)


def identity_digest(trust_anchor: str, kind: str, name: str) -> str:
    """What tells one identity from another: SHA-256, lower-case hex, over what makes two of them the same."""
    return hashlib.sha256(orjson.dumps((trust_anchor, kind, name))).hexdigest()


class Claim(NamedTuple):
    """What was said of a session. None and empty: nothing."""

    seen_ms: int
    """The earliest time of an event that said something."""
    kind: Said | None = None
    user: Said | None = None
    server_id: Said | None = None
    target: Said | None = None
    started: tuple[int, int] | None = None
    """How well the event knows it, and the time in ms."""
    ended_ms: int | None = None
    participants: frozenset[str] = frozenset()
    servers: frozenset[str] = frozenset()
    """Every server that its events of start and end name."""

    def merged(self, other: Claim) -> Claim:
        """Both of them."""
        return Claim(
            min(self.seen_ms, other.seen_ms),
            _least(self.kind, other.kind),
            _least(self.user, other.user),
            _least(self.server_id, other.server_id),
            _least(self.target, other.target),
            _least(self.started, other.started),
            _latest(self.ended_ms, other.ended_ms),
            _joined(self.participants, other.participants),
            _joined(self.servers, other.servers),
        )

    def filled(self, weaker: Claim) -> Claim:
        """This one, and what a weaker one says where this one says nothing."""
        told = {name: getattr(self, name) or getattr(weaker, name) for name in Claim._fields if name != "seen_ms"}
        told["ended_ms"] = weaker.ended_ms if self.ended_ms is None else self.ended_ms
        return Claim(min(self.seen_ms, weaker.seen_ms), **told)

    @property
    def begun_ms(self) -> int:
        """Where it stands in the order of sessions: its start, else its end, else the first that was heard of it."""
        if self.started is not None:
            return self.started[1]
        return self.seen_ms if self.ended_ms is None else self.ended_ms

    def encode(self) -> str:
        """As it is stored."""
        members = self._asdict() | {"participants": sorted(self.participants), "servers": sorted(self.servers)}
        return orjson.dumps({name: value for name, value in members.items() if value or value == 0}).decode()

    @staticmethod
    def decode(text: str) -> Claim:
        """From its stored form."""
        members = orjson.loads(text)
        for name in ("kind", "user", "server_id", "target", "started"):
            if name in members:
                members[name] = tuple(members[name])
        for name in ("participants", "servers"):
            members[name] = frozenset(members.get(name, ()))
        return Claim(**members)


def bounded(text: str) -> str:
    """A text as claims keep it: its beginning, without NUL, which not every database takes."""
    return text[:MAX_TEXT].replace("\0", "")


def settled(claims: Iterable[tuple[Voice, Claim]]) -> Claim | None:
    """What the index shows of a session: each field as those tell it who count most among those that tell it.

    Others than components count only where no component has said anything. None without claims.
    """
    by_voice: dict[Voice, Claim] = {}
    for voice, claim in claims:
        before = by_voice.get(voice)
        by_voice[voice] = claim if before is None else before.merged(claim)
    if by_voice.keys() > {Voice.OTHER}:
        del by_voice[Voice.OTHER]
    found: Claim | None = None
    for voice in sorted(by_voice, reverse=True):
        found = by_voice[voice] if found is None else found.filled(by_voice[voice])
    return found


def _least(one: _T | None, other: _T | None) -> _T | None:
    if one is None or other is None:
        return other if one is None else one
    return one if one <= other else other


def _latest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return one if one >= other else other


def _joined(names: frozenset[str], others: frozenset[str]) -> frozenset[str]:
    # Most events of a session name who was named before, of hundreds perhaps.
    return names if others <= names else first_names(names | others)


def first_names(names: frozenset[str]) -> frozenset[str]:
    """As many names as are kept."""
    return names if len(names) <= MAX_NAMES else frozenset(sorted(names)[:MAX_NAMES])
