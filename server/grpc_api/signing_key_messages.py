"""Messages about the keys that sign the service's tokens."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from extaudit.v1 import integration_pb2 as key_pb
from extaudit.v1 import integration_service_pb2 as pb

from server.errors import InvalidRequest, Violation
from server.grpc_api.messages import timestamp_message
from server.integrations.signing_keys import KeyState, SigningKey

MAX_REASON_CHARACTERS: Final = 1_024
_STATES: Final = MappingProxyType(
    {
        KeyState.NEXT: key_pb.SIGNING_KEY_STATE_NEXT,
        KeyState.ACTIVE: key_pb.SIGNING_KEY_STATE_ACTIVE,
        KeyState.RETIRING: key_pb.SIGNING_KEY_STATE_RETIRING,
        KeyState.RETIRED: key_pb.SIGNING_KEY_STATE_RETIRED,
    }
)


def check_rotation(request: pb.RotateSigningKeyRequest) -> None:
    """InvalidRequest if the reason is missing where it must be there, too long, or has a NUL."""
    reason = request.reason
    if request.drop_old and not reason:
        raise InvalidRequest([Violation("reason", "must be given where the old key is dropped")])
    if len(reason) > MAX_REASON_CHARACTERS or "\0" in reason:
        text = f"must be up to {MAX_REASON_CHARACTERS} characters without NUL"
        raise InvalidRequest([Violation("reason", text)])


def rotation_response(keys: Sequence[SigningKey]) -> pb.RotateSigningKeyResponse:
    """The keys: ids, states and times; no part of a key."""
    return pb.RotateSigningKeyResponse(keys=[_message(key) for key in keys])


def _message(key: SigningKey) -> key_pb.SigningKey:
    return key_pb.SigningKey(
        key_id=key.key_id,
        state=_STATES[key.state],
        create_time=timestamp_message(key.created_ms),
        activate_time=None if key.activated_ms is None else timestamp_message(key.activated_ms),
        retire_time=None if key.retired_ms is None else timestamp_message(key.retired_ms),
    )
