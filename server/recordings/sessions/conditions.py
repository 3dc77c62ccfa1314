"""Whether a caller's conditions admit a session: decided from events of its end that count, and from nothing else.

An end counts if the uploader of the recording in question emitted it, or a Proxy or Auth component did. Whoever may
create events could say anything of anybody's session in others. What is asked must hold for each that counts.
"""

from __future__ import annotations

from collections.abc import Sequence

from rbac.identities import Identity
from server.state.session_claims import identity_digest
from server.state.sessions import SessionEnd
from server.storage.matching import document_of
from server.storage.value_matching import holds
from server.storage.value_tests import AllOf, AnyOf, Operator, RowCondition, ValueTest

NO_END = "no event of the session's end is by a Proxy, an Auth service or the recording's uploader"
NOT_ADMITTED = "the caller's conditions don't hold of every event of the session's end that counts"


def refusal(condition: RowCondition | None, ends: Sequence[SessionEnd], uploader: Identity | None) -> str:
    """Why a condition doesn't admit a session, for the audit event alone; '' where it does.

    Args:
        condition: of the caller; None where every session may be seen.
        ends: every event of ours that ended the session.
        uploader: of the recording that is asked for; None where there is none that is complete.
    """
    if condition is None:
        return ""
    theirs = None if uploader is None else identity_digest(*uploader.key)
    counting = [end for end in ends if end.speaker.vouches or end.speaker.emitter == theirs]
    if not counting:
        return NO_END
    # Refused calls are counted by what they are told for: without the position, they stay few.
    return "" if all(holds(condition, document_of(end.event)) for end in counting) else NOT_ADMITTED


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
