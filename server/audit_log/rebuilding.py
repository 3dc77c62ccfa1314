"""The catalogue from the batch records that are in the storages: what the state lost, or never came to know."""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from server.audit_log.batch_record import BatchRecord, NewerRecord
from server.audit_log.batch_rows import catalogue_batch, catalogue_objects
from server.audit_log.cuts import Cut
from server.audit_log.record_proof import RecordProofs
from server.audit_log.storages import DEFAULT
from server.data_directory import LATER_VERSION, DataDirectoryProblem
from server.state.catalogue import BatchOverlaps, Catalogue
from server.state.diversions import Diversion
from server.state.ranges import rest
from server.storage.ports import EventStorage, RecordUnreadable, StorageError

_log = logging.getLogger(__name__)
RECALLED_AT_ONCE = 4
"""Storages that are asked at once: one that hangs holds up no other."""
_MOST_UNREAD = 100
"""Batch records that can't be read before a pass through a storage ends, which may be out of reach."""
_NUMBER = r"[1-9][0-9]{0,18}"
RECORD_NAME = re.compile(rf"([0-9a-f]{{20}})/({_NUMBER})-({_NUMBER})(?:\.r({_NUMBER}))?\.json", re.ASCII)
"""One name for each: with zeros before them others could have a record read under names without end."""

Place = tuple[str, int, int]
"""Log, first and last sequence of a batch."""
Admits = Callable[[str, int, int], bool]
"""Whether sequences first..last of a log, which are in no known batch, can be those of one that isn't known: they were
given, and aren't in the journal."""


def rebuild(storage: EventStorage, catalogue: Catalogue, pending: Collection[tuple[str, int]] = ()) -> int:
    """Add to the catalogue every batch whose record is in a storage and which it doesn't know; gives their number.

    What those records say was lost becomes known again as well, and so does what is between the batches of their logs,
    but where a segment of `pending`, log and first sequence, says that it is in the journal.

    Raises:
        StorageError: the storage can't be listed now.
    """
    now_ms = time.time_ns() // 1_000_000
    records: list[BatchRecord] = []
    listed: set[Place] = set()
    for place, numbers in _listed(storage):
        listed.add(place)
        try:
            records += _added(storage, catalogue, place, numbers)
        except StorageError:  # what people leave there stops nothing
            continue
        except BatchOverlaps as error:
            _log.error("a batch record isn't believed", extra={"fields": {"reason": str(error)}})
    logs = {record.log_id for record in records}
    holes = [(record.log_id, first, last) for record in records for first, last in record.holes]
    ranges = sorted({*listed, *((batch.log_id, batch.first, batch.last) for batch in catalogue.batches())})
    gaps = [gap for gap in _gaps_between(ranges) if gap[0] in logs and not _is_pending(*gap, pending)]
    catalogue.add_holes([*holes, *gaps], now_ms)
    return len(records)


class RecordsUnread(StorageError):
    """Batch records that the catalogue doesn't know can't be read now; what could be is in it."""

    def __init__(self, problems: Sequence[str], reached: str) -> None:
        super().__init__(f"batch records can't be read, {len(problems)} of them or more: {problems[0]}")
        self.reached = reached
        """The name behind which another pass goes on; '' where this one came to the end."""


class Recalled(NamedTuple):
    """What became of the batch records of a storage that the catalogue doesn't know."""

    added: int
    refused: int
    """How many are of sequences that the storage can't have."""
    unproven: int
    """How many are of such as it can have, and have no proof to be the service's own."""
    diverted: int
    """How many are of batches that were diverted from there: they were delivered late, and count no more."""


def recall(
    storage: EventStorage, catalogue: Catalogue, admits: Admits, proofs: RecordProofs, after: str = ""
) -> Recalled:
    """The same of a storage that others can write to, with every range that `admits` lets pass and whose record has its
    proof, of records whose names come after a name. Nothing is taken for lost: it may be on its way.

    Raises:
        RecordsUnread: of some it can't be told; others can put there as many of such as they like.
        StorageError: the storage can't be read now. What was read is kept.
    """
    added = refused = unproven = diverted = 0
    unread = _Unread()
    for place, numbers in _listed(storage, hidden=True, after=after):
        log_id, first, last = place
        if _is_known(storage, catalogue, place):
            continue
        admitted = admits(log_id, first, last)  # before the catalogue is asked: what leaves the tail is there by then
        if _is_known(storage, catalogue, place):
            continue
        known = catalogue.batch_from(log_id, first)
        if (known is not None and known.first <= last) or not admitted:
            is_left = catalogue.diversions.is_left(storage.storage_id, log_id, first, last)
            refused, diverted = refused + (not is_left), diverted + is_left
            continue
        before = len(unread.problems)
        try:
            records = _added(storage, catalogue, place, numbers, proofs.is_own, unread.note)
        except _Enough:
            break
        except BatchOverlaps:
            refused += 1
            continue
        unproven += not records and len(unread.problems) == before
        for record in records:
            added += 1
            catalogue.found_again(record.log_id, rest(record.first, record.last, record.holes))
    if unread.problems:
        raise RecordsUnread(unread.problems, unread.reached)
    return Recalled(added, refused, unproven, diverted)


class _Enough(Exception):
    """The pass ends."""


class _Unread:
    """What a pass can't read: others can write there, and one of theirs stops no other."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.reached = ""

    def note(self, name: str, error: Exception) -> None:
        self.problems.append(str(error))
        if len(self.problems) >= _MOST_UNREAD:
            self.reached = name
            raise _Enough


def _listed(storage: EventStorage, *, hidden: bool = False, after: str = "") -> Iterator[tuple[Place, Iterator[int]]]:
    """Every batch whose record is in the storage, with the numbers of its names, of those after a name. In their order,
    in which those of one batch follow each other; none is kept, as others can put as many as they like."""
    names = (RECORD_NAME.fullmatch(name) for name in storage.list_records(hidden=hidden) if name > after)
    for place, matches in groupby((match for match in names if match is not None), _place):
        yield place, (int(match[4] or 0) for match in matches)


def _place(match: re.Match[str]) -> Place:
    return match[1], int(match[2]), int(match[3])


def _is_known(storage: EventStorage, catalogue: Catalogue, place: Place) -> bool:
    known = catalogue.batch(*place[:2])
    return known is not None and (known.storage, known.log_id, known.first, known.last) == (storage.storage_id, *place)


def _fail(name: str, error: Exception) -> None:
    raise error


def _added(
    storage: EventStorage,
    catalogue: Catalogue,
    place: Place,
    numbers: Iterable[int],
    is_own: Callable[[BatchRecord], bool] = lambda record: True,
    unread: Callable[[str, Exception], None] = _fail,
) -> list[BatchRecord]:
    """Add a batch that the catalogue doesn't know; [] where it does, or no record is one of ours. `unread` is told the
    name of each that can't be read, and why."""
    if _is_known(storage, catalogue, place):
        return []
    # Where others had taken the first name, what they left there isn't ours: the first that is counts.
    cut = Cut(*place, storage.storage_id)
    for number in numbers:
        try:
            record = next(filter(is_own, _read_records(storage, cut, number)), None)
        except (StorageError, DataDirectoryProblem) as error:
            unread(cut.numbered_record_name(number), error)
            continue
        if record is not None:
            if record.diverted_from and storage.storage_id == DEFAULT:  # nobody else can write there
                catalogue.diversions.restore(_diversion(record))
            catalogue.add_batch(catalogue_batch(record, number), catalogue_objects(record))
            return [record]
    return []


def _diversion(record: BatchRecord) -> Diversion:
    first_ms = min((item.first_ms for item in record.objects), default=0)
    last_ms = max((item.last_ms for item in record.objects), default=-1)
    return Diversion(record.log_id, record.first, record.last, record.diverted_from, record.storage, first_ms, last_ms)


def _is_pending(log_id: str, first: int, last: int, pending: Collection[tuple[str, int]]) -> bool:
    return any(log == log_id and first <= start <= last for log, start in pending)


def _read_records(storage: EventStorage, cut: Cut, number: int) -> Iterator[BatchRecord]:
    """What has a record's name, and what had it before others put over it or deleted it."""
    name = cut.numbered_record_name(number)
    problem: Exception | None = None
    try:
        data = storage.read_record(name)
        newest = _decoded(data, cut) if data is not None else None
        if newest is not None:
            yield newest
    except (RecordUnreadable, DataDirectoryProblem) as error:  # others can put that over ours as well
        problem = error
    for earlier in storage.earlier_records(name):
        with contextlib.suppress(DataDirectoryProblem):
            if (record := _decoded(earlier, cut)) is not None:
                yield record
    if problem is not None:
        raise problem


def _decoded(data: bytes, cut: Cut) -> BatchRecord | None:
    try:
        record = BatchRecord.decode(data)
    except NewerRecord as error:
        # Its events would be taken for those of a stranger, without receipts and places.
        raise DataDirectoryProblem(f"{error}; {LATER_VERSION}") from error
    except ValueError:
        return None
    wanted = cut.storage, cut.log_id, cut.first, cut.last
    if (record.storage, record.log_id, record.first, record.last) != wanted:
        return None
    # Its object names become paths, and whoever can write the storage could have written the record.
    own = re.compile(rf"\d{{4}}-\d\d-\d\d/{re.escape(record.cut.name)}(\.r\d+)?\.parquet", re.ASCII)
    return record if all(own.fullmatch(item.name) for item in record.objects) else None


def _gaps_between(ranges: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The sequences before and between the (ascending) ranges of each log."""
    gaps = []
    log_id, expected = "", 1
    for log, first, last in ranges:
        if log != log_id:
            log_id, expected = log, 1
        if first > expected:
            gaps.append((log, expected, first - 1))
        expected = max(expected, last + 1)
    return gaps
