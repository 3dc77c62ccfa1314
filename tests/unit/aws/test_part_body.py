"""One part of an upload as botocore reads it: in blocks, from its middle, and again."""

from __future__ import annotations

import random
from functools import partial

from botocore.credentials import Credentials
from botocore.utils import determine_content_length

from server.storage.aws.multipart import PartBody
from server.storage.aws.session import BLOCK_BYTES, AwsSettings, client_config, closed_session, make_client
from server.storage.recording_port import Part

PART = Part(2, 5, 5 * BLOCK_BYTES + 7, "")


class Upload:
    """An upload that is longer than the part."""

    def __init__(self) -> None:
        self.data = random.Random(7).randbytes(PART.offset + PART.size + 9)

    def read_into(self, memory: memoryview, offset: int) -> int:
        found = self.data[offset : offset + len(memory)]
        memory[: len(found)] = found
        return len(found)

    def close(self) -> None:
        """Nothing to close."""


def test_a_part_is_read_in_blocks_and_again_from_where_it_is_sought() -> None:
    upload = Upload()
    body = PartBody(upload, PART)
    wanted = upload.data[PART.offset : PART.offset + PART.size]
    assert determine_content_length(body) == PART.size
    blocks = [bytes(block) for block in iter(partial(body.read, BLOCK_BYTES), b"")]
    assert (b"".join(blocks), {len(block) for block in blocks[:-1]}) == (wanted, {BLOCK_BYTES})
    for at in (BLOCK_BYTES - 3, 3 * BLOCK_BYTES, 0, PART.size - 1, PART.size, PART.size + 1):
        assert body.seek(at) == body.tell() == at
        assert body.read(1024) == wanted[at : at + 1024]
    body.seek(BLOCK_BYTES)
    assert (body.read(), body.read(), body.read(1)) == (wanted[BLOCK_BYTES:], b"", b"")
    body.seek(0)
    assert body.read(3 * BLOCK_BYTES) == wanted[: 3 * BLOCK_BYTES]


def test_all_blocks_of_a_part_are_read_into_the_same_memory() -> None:
    body = PartBody(Upload(), PART)
    one, other = body.read(BLOCK_BYTES), body.read(BLOCK_BYTES)
    assert one.obj is other.obj


def test_botocore_takes_a_body_in_such_blocks() -> None:
    settings = AwsSettings(endpoint="https://s3.test", s3_path_style="always")
    session = closed_session(Credentials("key", "secret"))
    client = make_client(session, "s3", settings, client_config(settings, "us-west-2"))
    pool = client._endpoint.http_session._manager.connection_from_url("https://s3.test")
    assert pool._new_conn().blocksize == BLOCK_BYTES
