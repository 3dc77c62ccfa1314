"""Whether a caller's conditions admit a session: decided from events of its end that count, and from nothing else.

An end counts if the uploader of the recording in question emitted it, or a Proxy or Auth component did. Whoever may
create events could say anything of anybody's session in others. What is asked must hold for each that counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from rbac.identities import Identity
from server.state.session_claims import identity_digest
from server.state.session_ends import CountingEnd
from server.storage.matching import document_of
from server.storage.value_matching import holds
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, ValueTest

NO_END = "no event of the session's end is by a Proxy, an Auth service or the recording's uploader"
NOT_ADMITTED = "the caller's conditions don't hold of every event of the session's end that counts"
TOO_LARGE = "events of the session's end by one that counts are more, or larger, than conditions are asked of"

Verdicts = Mapping[str, str]
"""Why a condition doesn't admit one session, '' where it does, by each emitter of ends that can count; all Proxy and
Auth components are together, as ''."""
NO_VERDICTS: Final[Verdicts] = MappingProxyType({})
_VOUCHING = ""


def verdicts(condition: RowCondition, ends: Iterable[CountingEnd]) -> Mapping[str, Verdicts]:
    """What a condition says of sessions, by session id; of one that nobody ended who can count, nothing.

    Each end is parsed once, however many recordings are asked for, and let go before the next.
    """
    found = defaultdict[str, dict[str, str]](dict)
    for end in ends:
        known, emitter = found[end.session_id], _VOUCHING if end.vouches else end.emitter
        if not known.get(emitter):
            known[emitter] = _refusal_by(condition, end)
    return found


def _refusal_by(condition: RowCondition, end: CountingEnd) -> str:
    if end.event is None:
        return TOO_LARGE
    return "" if holds(condition, document_of(end.event)) else NOT_ADMITTED


def refusal(known: Verdicts, uploader: Identity | None) -> str:
    """Why a condition doesn't admit a session, for the log alone; '' where it does.

    Args:
        known: what the condition says of the session.
        uploader: of the recording that is asked for; None where there is none that is complete.
    """
    asked = [_VOUCHING] if uploader is None else [_VOUCHING, identity_digest(*uploader.key)]
    counting = [known[emitter] for emitter in asked if emitter in known]
    return next(filter(None, counting), "") if counting else NO_END


def names_asked_for(condition: RowCondition) -> frozenset[str] | None:
    """Names of which an end must have one as a participant for the condition to hold; None where it asks for none.

    With these the index finds the sessions that can be admitted at all.
    """
    match condition:
        case ValueTest(path=("participants",), operator=operator, values=values, holds=True):
            asks = operator in (Operator.HAS_ANY, Operator.HAS_ALL, Operator.ALL_IN)
            return frozenset(map(str, values)) if asks and values else None
        case AllOf(parts=parts):
            return min((names for part in parts if (names := names_asked_for(part)) is not None), key=len, default=None)
        case AnyOf(parts=parts):
            asked = [names_asked_for(part) for part in parts]
            known = [names for names in asked if names is not None]
            return frozenset[str]().union(*known) if len(known) == len(asked) else None
        case _:
            return None
