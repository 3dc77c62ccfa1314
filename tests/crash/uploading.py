"""Uploads through the lives of several servers."""

from __future__ import annotations

import hashlib
import io
import random
import uuid

from extaudit_client import Client, ExtauditError

MIB = 1024 * 1024
ENDS = ("UNAVAILABLE", "CANCELLED")
"""What a call fails with whose server is killed, or can't do it now."""


class Sending:
    """One upload."""

    def __init__(self, data: bytes) -> None:
        self.session_id = str(uuid.uuid4())
        self.data = data
        self.upload_id = ""
        self.acknowledged = 0
        self.is_sent = False

    def send(self, client: Client) -> bool:
        """Send until all is durable, or the server is gone; gives whether all is."""
        try:
            client.recordings.upload(io.BytesIO(self.data), self.session_id, self.upload_id, self._told)
        except ExtauditError as error:
            assert error.code in ENDS, error  # noqa: PT017 -- any other one is a fault
            return False
        self.is_sent = True
        return True

    def complete(self, client: Client) -> bool:
        """Complete it; gives whether it is known to be."""
        sha256 = hashlib.sha256(self.data).hexdigest()
        try:
            recording, state = client.recordings.complete(self.upload_id, size=len(self.data), sha256=sha256)
        except ExtauditError as error:
            assert error.code in ENDS, error  # noqa: PT017 -- any other one is a fault
            return False
        assert (recording.upload_id, state) == (self.upload_id, "completed")
        return True

    def check_durable(self, client: Client) -> None:
        """What was acknowledged is there."""
        if self.upload_id:
            assert client.recordings.get_upload(self.upload_id).durable_offset >= self.acknowledged

    def _told(self, upload_id: str, durable: int) -> None:
        # As long as this stream lasts the server can't take anything back.
        assert durable >= self.acknowledged
        self.upload_id, self.acknowledged = upload_id, durable


class Uploading:
    """One upload after the other, small ones mostly."""

    def __init__(self, seed: int) -> None:
        self.completed: list[Sending] = []
        self._dice = random.Random(seed)
        self._now = self._next()

    def go_on(self, client: Client) -> None:
        """Upload and complete until the server is gone."""
        failed = 0
        while failed < 3:  # a storage that fails is no end
            failed = 0 if self.end_this(client) else failed + 1

    def end_this(self, client: Client) -> bool:
        """Go on with the upload that is under way; gives whether it is complete. The next one follows it."""
        now = self._now
        if not ((now.is_sent or now.send(client)) and now.complete(client)):
            return False
        self.completed.append(now)
        self._now = self._next()
        return True

    def check_durable(self, client: Client) -> None:
        """What was acknowledged of the upload that is under way is there."""
        self._now.check_durable(client)

    def _next(self) -> Sending:
        size = self._dice.choice([1, self._dice.randint(1, MIB), self._dice.randint(1, 10 * MIB)])
        return Sending(self._dice.randbytes(size))


def read(client: Client, session: str) -> bytes | None:
    """The recording, which only the service has checked; None where that is said not to be possible now.

    It is on a busy machine too: the service's patience with S3 is short where a proxy is on the way.
    """
    try:
        return b"".join(client.recordings.read_range(session, 0, 0))
    except ExtauditError:
        return None
