"""Exports as the edges call them: on threads of their own, a bounded number at once, each traced before it begins."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from server.audit_log.access import Access
from server.audit_log.export.blocks import ChunkReader, Convert, EncodedBlock
from server.audit_log.export.chunk import ChunkId, ChunkPage, ChunkQuery, ExportQuery
from server.audit_log.export.listing import ChunkListing
from server.audit_log.search.rights import condition_of
from server.audit_log.service_log import ServiceLog
from server.audit_log.shared_places import SharedPlaces
from server.audit_log.storages import DEFAULT
from server.audit_log.stored_batches import StoredBatches
from server.errors import NotFound, Unavailable
from server.observability.export_metrics import ExportMetrics
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.storage.ports import StorageError
from server.storage.query import Filters

MEMORY_BYTES = 256 * 1024 * 1024
"""What the batches of all exports under way may take, about."""
LISTS = 64
"""Lists of chunks under way."""

Answer = TypeVar("Answer")


def most_exports(batch_bytes: int) -> int:
    """How many may be under way where a batch has up to so many bytes of JSON: each holds one."""
    return max(1, MEMORY_BYTES // batch_bytes)


class Exports:
    """The export use cases. Lives on the event loop."""

    def __init__(
        self,
        listing: ChunkListing,
        batches: StoredBatches,
        catalogue: Catalogue,
        threads: Executor,
        service_log: ServiceLog,
        metrics: ExportMetrics,
        *,
        most: int,
        remote_threads: Executor | None = None,
    ) -> None:
        """`most` exports may be under way at once. What may have to be fetched is read on `remote_threads`: one that
        doesn't answer holds up none that is here."""
        self._listing = listing
        self._batches = batches
        self._catalogue = catalogue
        self._threads = threads
        self._remote_threads = remote_threads or threads
        self._service_log = service_log
        self._metrics = metrics
        self._exports = SharedPlaces(most, "too many exports are under way")
        self._lists = SharedPlaces(LISTS, "too many lists of chunks are waiting")

    async def chunks(self, access: Access, query: ChunkQuery) -> ChunkPage:
        """One page of chunks.

        Raises:
            InvalidRequest, NotFound: see ChunkListing.page.
            ResourceExhausted: too many ask, of all or of the caller.
            Unavailable: it can't be listed, or not traced, now.
        """
        with self._lists.place(access.identity):
            sees_all = condition_of(access) is None
            threads = self._remote_threads if self._listing.may_wait(query.storage) else self._threads
            page = await self._run(lambda: self._listing.page(access.identity, query, sees_all=sees_all), threads)
        await self._service_log.chunks_listed(access, query, page)
        return page

    async def events(
        self, access: Callable[[], Access], query: ExportQuery, convert: Convert
    ) -> AsyncGenerator[EncodedBlock, None]:
        """The events of a chunk in the order of sequences, encoded by `convert` on a thread.

        `access` gives the caller as of now. It is asked before each message, and what was made for other rights than
        the caller has when it leaves is made anew.

        Raises:
            NotFound: there is no such chunk.
            ResourceExhausted: too many exports are under way, of all or of the caller.
            Unavailable: it can't be read, or not traced, now.
        """
        with self._exports.place(access().identity):
            batch = _batch(self._catalogue, query.chunk)
            await self._service_log.exported(access(), query, found=batch is not None)
            if batch is None:
                raise NotFound("there is no such chunk", chunk=str(query.chunk))
            caller, events, size, through = access(), 0, 0, query.after_sequence
            try:
                threads = self._threads if batch.storage == DEFAULT else self._remote_threads
                sees_all = condition_of(caller) is None
                reader = await self._run(lambda: self._read(batch, query, convert, sees_all=sees_all), threads)
                async with contextlib.aclosing(self._blocks(access, query, reader)) as blocks:
                    async for block in blocks:
                        # Counted before it leaves: whoever breaks off has it all the same.
                        events, size, through = events + block.events, size + len(block.data), block.through
                        yield block
            finally:
                self._service_log.export_ended(caller, query, events=events, size=size, through=through)

    def _read(self, batch: CatalogueBatch, query: ExportQuery, convert: Convert, *, sees_all: bool) -> ChunkReader:
        try:
            rows = self._batches.read(batch)
        except StorageError as error:
            raise Unavailable("the storage can't be read now") from error
        if rows.missing:
            self._metrics.incomplete()
        return ChunkReader(rows, query.after_sequence, query.wanted, convert, sees_all=sees_all)

    async def _blocks(
        self, access: Callable[[], Access], query: ExportQuery, reader: ChunkReader
    ) -> AsyncGenerator[EncodedBlock, None]:
        def filters() -> Filters:
            return replace(query.wanted.filters, condition=condition_of(access()))

        def making_of(number: int, asked: Filters, after: int = 0) -> asyncio.Future[list[EncodedBlock]]:
            return asyncio.ensure_future(self._run(lambda: reader.block(number, asked, after)))

        asked = filters()
        making = making_of(0, asked)
        try:
            for number in range(len(reader)):
                through, made_for, made = 0, asked, await making
                asked = filters()
                if number + 1 < len(reader):
                    making = making_of(number + 1, asked)
                while True:
                    # Before each message, however long the one before it took to leave or this one to be made.
                    if (now := filters()) != made_for:
                        made_for, made = now, await making_of(number, now, through)
                        continue
                    if not made:
                        break
                    message, *made = made
                    through = message.through
                    self._metrics.given(message.events, len(message.data))
                    yield message
        finally:
            making.cancel()

    async def _run(self, work: Callable[[], Answer], threads: Executor | None = None) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)


def _batch(catalogue: Catalogue, chunk: ChunkId) -> CatalogueBatch | None:
    batch = catalogue.batch(chunk.log_id, chunk.first)
    return batch if batch is not None and ChunkId.of(batch) == chunk else None
