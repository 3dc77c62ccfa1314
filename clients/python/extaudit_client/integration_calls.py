"""The calls about integrations that have one answer."""

from __future__ import annotations

from extaudit.v1 import integration_service_pb2 as pb

from extaudit_client.calling import Call
from extaudit_client.signing_keys import SigningKey, signing_key_from


def rotate_signing_key(reason: str, *, drop_old: bool) -> Call[list[SigningKey]]:
    """Have the next key sign."""
    # Once more would rotate again.
    return Call(
        lambda stubs: stubs.integrations.RotateSigningKey,
        pb.RotateSigningKeyRequest(drop_old=drop_old, reason=reason),
        lambda answer: [signing_key_from(key) for key in answer.keys],
        repeatable=False,
    )
