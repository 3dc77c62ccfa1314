"""Listing chunks: pages over what was complete at the first page, so that none is lost between them or comes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from rbac.identities import Identity
from server.audit_log.bucket_looks import Looked
from server.audit_log.export.chunk import Chunk, ChunkId, ChunkPage, ChunkQuery
from server.audit_log.export.tokens import ChunkTokens, ListStart
from server.audit_log.missing_ranges import diverted_range, lost_range
from server.audit_log.search.gaps import each_once, told
from server.audit_log.search.query import Missing, MissingReason
from server.audit_log.storages import DEFAULT, Storages
from server.audit_log.tail import Tail
from server.errors import NotFound, Unavailable
from server.state.catalogue import Catalogue
from server.state.catalogue_rows import CatalogueBatch
from server.storage.ports import StorageError

_EARLIEST, _LATEST = -(2**62), 2**62
_AT_ONCE = 1_000
"""Batches that are asked of the catalogue in one go: it is locked meanwhile, for the event loop too."""


class ChunkListing:
    """Lists the chunks of all storages. Blocking; safe to use from several threads.

    A log is complete up to where its confirmed batches and its holes leave no gap. Only chunks up to there are listed,
    and one beyond a gap waits until that is filled: so a place, one number for each log, says exactly what was given.
    """

    def __init__(
        self,
        storages: Storages,
        tail: Tail,
        catalogue: Catalogue,
        tokens: ChunkTokens,
        refresh_foreign: Callable[[int | None, int | None, frozenset[str]], Looked],
    ) -> None:
        """`refresh_foreign` has foreign objects of times looked for in storages; what couldn't be looked at is told."""
        self._storages = storages
        self._tail = tail
        self._catalogue = catalogue
        self._tokens = tokens
        self._refresh_foreign = refresh_foreign
        self._walked: dict[str, int] = {}
        """How far each log was found complete: that never goes back, so the next look goes on from there."""

    def may_wait(self, selector: str) -> bool:
        """Whether a list of these storages may wait for one that is elsewhere. Doesn't block."""
        chosen = self._storages.active if selector == "active" else selector
        return chosen != DEFAULT and len(self._storages.ids()) > 1

    def page(self, caller: Identity, query: ChunkQuery, *, sees_all: bool) -> ChunkPage:
        """One page; without `sees_all` for a caller whom roles show some events only.

        To such a caller nothing tells how many events there are in a chunk, or of which times: neither what is said of
        it nor whether a time asked for leaves it out; nor are objects of others counted. What sequences there are every
        answer of a search tells.

        Raises:
            InvalidRequest: the page token is wrong, or the next one would have to hold too many logs.
            NotFound: there is no such storage.
            Unavailable: the storage can't be listed now.
        """
        storages = self._chosen(query.storage)
        start = (
            self._tokens.decode(query.page_token, query, caller) if query.page_token else ListStart(self._complete())
        )
        chunks: list[Chunk] = []
        for batch in self._batches(start, query.after, storages):
            chunk = self._chunk(batch, query, sees_all=sees_all)
            if chunk is None:
                continue
            if len(chunks) == query.page_size:
                last = chunks[-1].id
                following = ListStart(start.complete, last.log_id, last.last)
                return ChunkPage(chunks, self._tokens.encode(following, query, caller))
            chunks.append(chunk)
        return self._last_page(chunks, start, query, storages, sees_all=sees_all)

    def _last_page(
        self,
        chunks: Sequence[Chunk],
        start: ListStart,
        query: ChunkQuery,
        storages: frozenset[str],
        *,
        sees_all: bool,
    ) -> ChunkPage:
        through = {
            log_id: max(start.complete.get(log_id, 0), query.after.get(log_id, 0))
            for log_id in sorted({*start.complete, *query.after})
        }
        times = (query.from_ms, query.to_ms) if sees_all else (None, None)
        try:
            looked = self._refresh_foreign(*times, storages)
        except StorageError as error:
            raise Unavailable("the storage can't be listed now") from error
        of_others = set(looked.of_others)
        uncounted = each_once([*looked.gaps, *looked.of_others], of_others.__contains__)
        lost = [*self._lost(start.complete, query.after), *self._unknown(query.after)]
        if query.storage == "active":
            lost += self._elsewhere(start.complete, query.after, storages)
        else:
            lost += self._diverted(start.complete, query.after, storages)
        missing = told([*lost, *uncounted], sees_all=sees_all)
        foreign = sum(self._catalogue.foreign_objects(storage, *times) for storage in storages) if sees_all else 0
        return ChunkPage(chunks, "", through, missing, foreign)

    def _chosen(self, selector: str) -> frozenset[str]:
        """The storages chosen. What follows a place was active since, so `followed` leaves out none."""
        known = self._known()
        if selector in ("followed", "all"):
            return known
        chosen = self._storages.active if selector == "active" else selector
        if chosen not in known:
            raise NotFound("there is no such storage")  # what a caller sends is not said again
        return frozenset((chosen,))

    def _known(self) -> frozenset[str]:
        return frozenset((*self._storages.ids(), *self._catalogue.storages()))

    def _complete(self) -> dict[str, int]:
        """For every log the sequence up to which everything is in confirmed batches or lost; 0 where nothing is."""
        # The tail first: what leaves it from here on is in the catalogue.
        logs = {pin.section.log_id for pin in self._tail.pin()}
        holes = self._catalogue.holes()
        logs |= {*self._catalogue.confirmed(), *(log_id for log_id, _, _ in holes)}
        return {
            log_id: self._walk(log_id, [hole[1:] for hole in holes if hole[0] == log_id]) for log_id in sorted(logs)
        }

    def _walk(self, log_id: str, holes: Sequence[tuple[int, int]]) -> int:
        complete = self._walked.get(log_id, 0)
        while True:
            batch = self._catalogue.batch_holding(log_id, complete + 1)
            lost = next((last for first, last in holes if first <= complete + 1 <= last), 0)
            if batch is None and not lost:
                self._walked[log_id] = complete
                return complete
            complete = max(lost, batch.last if batch is not None else 0)

    def _batches(
        self, start: ListStart, after: Mapping[str, int], storages: frozenset[str]
    ) -> Iterator[CatalogueBatch]:
        for log_id, complete in sorted(start.complete.items()):
            if log_id >= start.log_id:
                done = max(after.get(log_id, 0), start.last if log_id == start.log_id else 0)
                while batches := self._catalogue.batches_between(log_id, done, complete, _AT_ONCE):
                    yield from (batch for batch in batches if batch.storage in storages)
                    done = batches[-1].last

    def _chunk(self, batch: CatalogueBatch, query: ChunkQuery, *, sees_all: bool) -> Chunk | None:
        """A batch as it is listed; None where all of it is outside the times asked for."""
        if not sees_all:
            return Chunk(ChunkId.of(batch))
        objects = self._catalogue.objects_of_batch(batch)
        from_ms = _EARLIEST if query.from_ms is None else query.from_ms
        to_ms = _LATEST if query.to_ms is None else query.to_ms
        is_bounded = query.from_ms is not None or query.to_ms is not None
        if is_bounded and not any(item.last_ms >= from_ms and item.first_ms < to_ms for item in objects):
            return None
        return Chunk(
            ChunkId.of(batch),
            sum(item.rows for item in objects),
            sum(item.bytes for item in objects),
            min((item.first_ms for item in objects), default=None),
            max((item.last_ms for item in objects), default=None),
        )

    def _lost(self, complete: Mapping[str, int], after: Mapping[str, int]) -> list[Missing]:
        """The holes before what is complete that the caller wasn't told of."""
        return [
            lost_range(self._storage_of(log_id, first), log_id, first, last, self._storages.unread)
            for log_id, first, last in self._catalogue.holes()
            if first <= complete.get(log_id, 0) and last > after.get(log_id, 0)
        ]

    def _elsewhere(
        self, complete: Mapping[str, int], after: Mapping[str, int], storages: frozenset[str]
    ) -> Iterator[Missing]:
        """The ranges that are in other storages than these. Another one may be active from list to list, and whoever
        asks for that would pass over what came to the former one meanwhile."""
        text = "these events are in another storage, which was active then; ask for `followed`, or for that one"
        ranges: list[tuple[str, str, int, int]] = []
        for batch in self._batches(ListStart(complete), after, self._known() - storages):
            first = max(batch.first, after.get(batch.log_id, 0) + 1)
            if ranges and (batch.storage, batch.log_id, first - 1) == (*ranges[-1][:2], ranges[-1][3]):
                first = ranges.pop()[2]
            ranges.append((batch.storage, batch.log_id, first, batch.last))
        return (Missing(MissingReason.OTHER_STORAGE, storage, log, text, *span) for storage, log, *span in ranges)

    def _diverted(
        self, complete: Mapping[str, int], after: Mapping[str, int], storages: frozenset[str]
    ) -> Iterator[Missing]:
        """The ranges that were to go to these storages and are in others."""
        for each in self._catalogue.diversions.all():
            if each.storage not in storages or each.to in storages:
                continue
            batch, done = self._catalogue.batch(each.log_id, each.first), after.get(each.log_id, 0)
            if batch is not None and batch.storage == each.to and done < batch.last <= complete.get(each.log_id, 0):
                yield diverted_range(each, done)

    def _storage_of(self, log_id: str, first: int) -> str:
        """The storage that a lost range would be in."""
        batch = self._catalogue.batch_holding(log_id, first) or self._catalogue.batch_before(log_id, first)
        return batch.storage if batch is not None else self._storages.active

    def _unknown(self, after: Mapping[str, int]) -> list[Missing]:
        """What a place says was given and the service has never had, or has no more: of a backup put back, say."""
        known = dict[str, int]()
        reached = [(pin.section.log_id, pin.last) for pin in self._tail.pin()]
        reached += [*self._catalogue.confirmed().items(), *((log, last) for log, _, last in self._catalogue.holes())]
        for log_id, last in reached:
            known[log_id] = max(last, known.get(log_id, 0))
        text = "the place is beyond these events, which the service doesn't have; it may be that of another server"
        return [
            Missing(MissingReason.JOURNAL_HOLE, self._storages.active, log_id, text, known.get(log_id, 0) + 1, last)
            for log_id, last in sorted(after.items())
            if last > known.get(log_id, 0)
        ]
