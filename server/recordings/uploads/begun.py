"""What the storage keeps of an upload from its beginning on, so that it is known again after the state was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from server.recordings.session_ids import is_session_id
from server.recordings.uploads.owners import owner_key, owner_of
from server.recordings.uploads.upload_ids import is_upload_id, key_of
from server.state.uploads import OPEN, UploadRow
from server.storage.recording_port import UploadPlace


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload as it begins. Times are ms since 1970."""

    upload_id: str
    session_id: str
    owner: Mapping[str, Any]
    """As `owner_members` gives it."""
    begun_ms: int

    @property
    def key(self) -> str:
        """What names the upload in the storage."""
        return key_of(self.upload_id)

    def encode(self) -> bytes:
        """As JSON."""
        members = {"upload_id": self.upload_id, "session_id": self.session_id}
        return orjson.dumps(members | {"owner": dict(self.owner), "begun_ms": self.begun_ms})

    @classmethod
    def decode(cls, data: bytes, key: str) -> Begun:
        """Read what was found under a key.

        Raises:
            ValueError: it isn't that of an upload of this key.
        """
        try:
            raw = orjson.loads(data)
            begun = cls(raw["upload_id"], raw["session_id"], raw["owner"], int(raw["begun_ms"]))
            owner_of(begun.owner)
            is_right = is_upload_id(begun.upload_id) and begun.key == key and is_session_id(begun.session_id)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError("what is kept of an upload's beginning lacks something") from error
        if not is_right:
            raise ValueError("what is kept of an upload's beginning isn't that upload's")
        return begun

    def row(self, place: UploadPlace, storage_id: str) -> UploadRow:
        """The row of the upload that begins."""
        return UploadRow(
            self.key,
            self.upload_id,
            self.session_id,
            storage_id,
            place.handle,
            OPEN,
            orjson.dumps(self.owner).decode(),
            owner_key(owner_of(self.owner)),
            0,
            self.begun_ms,
            None,
            self.begun_ms,
        )
