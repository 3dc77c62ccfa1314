"""One part of an upload as botocore reads it: in blocks, from its middle, and again."""

from __future__ import annotations

import random
from functools import partial
from typing import cast

from botocore.utils import determine_content_length

from server.storage.aws.multipart import PartBody
from server.storage.recording_port import Part, UploadPlace, UploadSpool

BLOCK = 128 * 1024
"""What botocore asks for at once."""
PART = Part(2, 5, 20 * BLOCK + 7, "")
PLACE = UploadPlace("session", "key")


class Spool:
    """An upload that is longer than the part."""

    def __init__(self) -> None:
        self.data = random.Random(7).randbytes(PART.offset + PART.size + 9)
        self.reads = 0

    def read_upload(self, place: UploadPlace, offset: int, size: int) -> bytes:
        assert place == PLACE
        self.reads += 1
        return self.data[offset : offset + size]


def test_a_part_is_read_in_blocks_from_few_reads_of_the_spool_and_again_from_where_it_is_sought() -> None:
    spool = Spool()
    body = PartBody(cast("UploadSpool", spool), PLACE, PART)
    wanted = spool.data[PART.offset : PART.offset + PART.size]
    assert determine_content_length(body) == PART.size
    blocks = list(iter(partial(body.read, BLOCK), b""))
    assert (b"".join(blocks), {len(block) for block in blocks[:-1]}) == (wanted, {BLOCK})
    assert spool.reads == 3
    for at in (BLOCK - 3, 9 * BLOCK, 0, PART.size - 1, PART.size, PART.size + 1):
        assert body.seek(at) == body.tell() == at
        assert body.read(BLOCK) == wanted[at : at + BLOCK]
    body.seek(BLOCK)
    assert (body.read(), body.read(), body.read(1)) == (wanted[BLOCK:], b"", b"")
    body.seek(0)
    assert body.read(9 * BLOCK) == wanted[: 9 * BLOCK]


def test_the_blocks_of_a_part_are_parts_of_what_was_read_and_no_copies() -> None:
    body = PartBody(cast("UploadSpool", Spool()), PLACE, PART)
    one, other = body.read(BLOCK), body.read(BLOCK)
    assert isinstance(one, memoryview)
    assert isinstance(other, memoryview)
    assert one.obj is other.obj
