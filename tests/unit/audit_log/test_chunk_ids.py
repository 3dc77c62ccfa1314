"""What is taken for the id of a chunk."""

from __future__ import annotations

import pytest

from server.audit_log.export.chunk import MAX_ID_CHARACTERS, ChunkId

LOG = "0123456789abcdef0123"


@pytest.mark.parametrize("storage", ["default", "s", "123456789012.bucket-1:events", "x" * 128])
def test_an_id_is_read_as_it_is_written(storage: str) -> None:
    chunk = ChunkId(storage, LOG, 1, 20_000)
    assert ChunkId.parse(str(chunk)) == chunk
    assert str(chunk) == f"{storage}/{LOG}/1-20000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "default",
        f"default/{LOG}",
        f"default/{LOG}/1-2 ",
        f"default/{LOG}/1-2\n",
        f" default/{LOG}/1-2",
        f"default/{LOG}/1-2/3",
        f"default/{LOG}/0-2",
        f"default/{LOG}/01-2",
        f"default/{LOG}/1--2",
        f"default/{LOG}/1-12345678901234567890",
        f"default/{LOG}/\u0661-2",
        f"default/{LOG.upper()}/1-2",
        f"default/{LOG}0/1-2",
        f"../{LOG}/1-2",
        f"a/../{LOG}/1-2",
        f"/{LOG}/1-2",
        f"a b/{LOG}/1-2",
        f"ä/{LOG}/1-2",
        f"{'x' * 129}/{LOG}/1-2",
        "x" * (MAX_ID_CHARACTERS + 1),
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    with pytest.raises(ValueError, match="not the id of a chunk"):
        ChunkId.parse(text)
