"""Upload ids: random, and with a MAC over whose upload it is, so that another's is known before anything is read."""

from __future__ import annotations

import hmac
import re
import secrets

import orjson

from rbac.identities import Identity
from server.errors import NotFound

_KEY_CHARACTERS = 32
_UPLOAD_ID = re.compile(r"[0-9a-f]{64}")


class UploadIds:
    """Makes and checks upload ids, 64 characters of lower-case hex: a random half, and a MAC over it and the owner.

    The random half, its key, names the upload in the state and in storages.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, owner: Identity) -> str:
        """A new id of an upload that `owner` begins."""
        key = secrets.token_hex(_KEY_CHARACTERS // 2)
        return key + self._mac(key, owner)

    def key(self, upload_id: str, caller: Identity) -> str:
        """The key of the caller's own upload. Nothing but the id is looked at.

        Raises:
            NotFound: it is somebody else's, or no id at all.
        """
        key = key_of(upload_id)
        if not self.is_of(upload_id, caller):
            raise no_such_upload("the upload id is another identity's or was never given")
        return key

    def is_of(self, upload_id: str, owner: Identity) -> bool:
        """Whether a well-formed id was made for this owner."""
        return hmac.compare_digest(upload_id[_KEY_CHARACTERS:], self._mac(key_of(upload_id), owner))

    def _mac(self, key: str, owner: Identity) -> str:
        return hmac.digest(self._secret, orjson.dumps([key, *owner.key]), "sha256").hex()[:_KEY_CHARACTERS]


def is_upload_id(text: str) -> bool:
    """Whether it looks like an upload id."""
    return _UPLOAD_ID.fullmatch(text) is not None


def key_of(upload_id: str) -> str:
    """The key in an id, whosever it is.

    Raises:
        NotFound: it doesn't look like an id.
    """
    if not is_upload_id(upload_id):
        raise no_such_upload("it doesn't look like an upload id")
    return upload_id[:_KEY_CHARACTERS]


def no_such_upload(hidden: str) -> NotFound:
    """The one answer to ids that aren't there, aren't the caller's, or aren't ids."""
    return NotFound("there is no such upload, or it isn't yours", hidden=hidden, resource_type="upload")
