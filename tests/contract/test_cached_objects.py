"""The cache of objects while several threads and storages use it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from server.storage.aws.object_cache import ObjectCache, Read
from server.storage.ports import (
    Wanted,
)

NAME = "2026-11-18/0123456789abcdef0123-1-2.parquet"


def test_an_object_that_is_read_while_it_comes_again_can_be_given_up_after(tmp_path: Path) -> None:
    """Delivered and fetched at once: whoever holds the one lets go of the other."""
    cache, spooled = ObjectCache(tmp_path / "cache", 10, 1), tmp_path / "spooled"
    spooled.write_bytes(b"events")
    wanted = Wanted(NAME, hashlib.sha256(b"events").hexdigest(), 6)

    def read(take: Callable[[bytes], object]) -> None:
        cache.take("aws-1", NAME, str(spooled), 6)
        reader.__enter__()
        take(b"events")

    def fetch(_: Wanted) -> Iterator[Read]:
        yield read

    reader = cache.held("aws-1", [wanted], fetch, None)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(cache._bring, cache.path("aws-1", NAME), wanted, fetch)
    reader.__exit__(None, None, None)
    assert cache.bytes == 6
    with cache.held(
        "aws-1",
        [Wanted("2026-11-18/b.parquet", hashlib.sha256(b"x" * 8).hexdigest(), 8)],
        lambda _: iter([lambda take: take(b"x" * 8)]),
        None,
    ):
        assert cache.bytes == 8, "the first one was given up for the second"
    cache.close()


def test_a_storage_that_hangs_keeps_no_object_of_another_from_being_fetched(tmp_path: Path) -> None:
    cache, go_on = ObjectCache(tmp_path / "cache", 100, 1), threading.Event()
    wanted = [Wanted(NAME, hashlib.sha256(b"events").hexdigest(), 6)]

    def hang(take: Callable[[bytes], object]) -> None:
        assert go_on.wait(60)
        take(b"events")

    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(lambda: cache.held("aws-1", wanted, lambda _: iter([hang]), None).__enter__())
        reads: Iterator[Read] = iter([lambda take: take(b"events")])
        with cache.held("aws-2", wanted, lambda _: reads, time.monotonic() + 30) as found:
            assert isinstance(found[NAME], str)
        assert not hanging.done()
        go_on.set()
    cache.close()
