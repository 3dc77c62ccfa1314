"""Chunks are read in place, without protobuf: whatever the bytes are, they mean what the generated parser says."""

from __future__ import annotations

import random

import pytest
from extaudit.v1 import recording_service_pb2 as pb
from google.protobuf.message import DecodeError

from server.grpc_api import recording_requests
from server.grpc_api.recording_requests import Chunk, decode_upload

SIZES = (0, 1, 2, 100, 126, 127, 128, 300)


def _message(dice: random.Random) -> bytes:
    if dice.random() < 0.1:
        return pb.UploadRecordingRequest(start=pb.UploadStart(session_id="s", upload_id="u")).SerializeToString()
    offset = dice.choice([0, 1, 127, 128, 2**32, 2**62, 2**63, 2**64 - 1, dice.getrandbits(64)])
    chunk = pb.RecordingChunk(offset=offset, data=dice.randbytes(dice.choice(SIZES)))
    return pb.UploadRecordingRequest(chunk=chunk).SerializeToString()


def _harmed(message: bytes, dice: random.Random) -> bytes:
    """With bytes changed, put in, taken away or behind it: mostly among the first, which say what the others are."""
    found = bytearray(message)
    for _ in range(dice.randrange(4)):
        at = dice.randrange(min(24, len(found) + 1))
        how = dice.randrange(5)
        if how == 0 and at < len(found):
            found[at] = dice.choice([0, 8, 0x12, 127, 128, 255, found[at] ^ 1 << dice.randrange(8)])
        elif how == 1:
            found[at:at] = dice.choice([b"\x80", b"\x00", b"\x08", b"\x12\x00", dice.randbytes(3)])
        elif how == 2:
            del found[at : at + dice.randrange(3)]
        elif how == 3:
            found += _message(dice)
        else:
            del found[len(found) - dice.randrange(3) :]
    return bytes(found)


def test_bytes_mean_what_the_generated_parser_says(monkeypatch: pytest.MonkeyPatch) -> None:
    in_place = []
    read = recording_requests._chunk
    monkeypatch.setattr(recording_requests, "_chunk", lambda data: in_place.append(read(data)) or in_place[-1])
    dice = random.Random(11)
    for _ in range(6_000):
        data = _harmed(_message(dice), dice)
        try:
            expected = pb.UploadRecordingRequest.FromString(data)
        except DecodeError:
            with pytest.raises(DecodeError):
                decode_upload(data)
            continue
        found = decode_upload(data)
        if expected.WhichOneof("request") == "chunk":
            assert isinstance(found, Chunk), data
            assert (found.offset, bytes(found.data)) == (expected.chunk.offset, expected.chunk.data), data
        else:
            assert found == expected, data
    assert 800 < sum(each is not None for each in in_place) < 5_000
