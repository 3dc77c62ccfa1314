"""Batches of one storage that are sent at once: a stop at any operation loses nothing, their records are a chain."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from server.audit_log.batch_record import BatchRecord, record_digest
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.interleaving import interleaved
from tests.crash.lives import Moment, distinct, moments
from tests.crash.log_under_test import StateFile
from tests.crash.switching_log import DEFAULT, OTHER, SwitchingLog

AT_ONCE = 3


def deliver_at_once(log: SwitchingLog, storage: str) -> None:
    """Deliver all that is cut, as Deliveries does."""
    delivery = log.deliveries[storage]
    while sections := delivery.waiting(AT_ONCE):
        for sent in interleaved(log.files, [partial(delivery.send, section) for section in sections]):  # type: ignore[arg-type]
            delivery.confirm(sent)


def work(log: SwitchingLog, numbers: Iterator[int]) -> None:
    """Two batches of the other storage with one of the default between, and one more that comes after."""
    for storage in (OTHER, DEFAULT, OTHER):
        log.switch(storage)
        log.emit(next(numbers), next(numbers))
    log.log.writer.cut()
    log.emit(next(numbers))
    log.log.writer.cut()
    deliver_at_once(log, OTHER)
    deliver_at_once(log, DEFAULT)
    log.log.journal.stop()


def check_chains(log: SwitchingLog) -> None:
    """In each storage the records of a log name each the one before it there."""
    for storage in log.storages.all():
        found = [BatchRecord.decode(data) for name in storage.list_records() if (data := storage.read_record(name))]
        before: dict[str, str] = {}
        for record in sorted(found, key=lambda each: (each.log_id, each.first)):
            assert record.previous == before.get(record.log_id, ""), f"{record.cut.name} names another one"
            before[record.log_id] = record_digest(record.encode())
            batch = log.catalogue.batch(record.log_id, record.first)
            assert batch is not None
            assert batch.record_digest == before[record.log_id]
            assert all(storage.size(item.name) == item.bytes for item in record.objects), "recorded before it was there"


def check_goes_on(log: SwitchingLog) -> None:
    """A stop is no fork, and no sequence will be given again, though the newest batches were the first to leave."""
    assert not log.log.is_copy
    journal = log.log.journal
    given = [sequence for place, sequence in log.acknowledged.values() if place.endswith(f"/{journal.log_id}")]
    assert journal.next_sequence > max(given, default=0)


def check_next_life(moment: Moment, state: StateFile) -> None:
    state.put(moment.state if moment.state[0] else None)
    acknowledged = dict(moment.acknowledged)
    files = moment.files.copy()
    again = SwitchingLog(files, state, acknowledged)
    assert not again.log.recovery.holes
    check_goes_on(again)
    again.check()
    again.log.writer.cut()
    for storage in (OTHER, DEFAULT):
        deliver_at_once(again, storage)
    again.check()
    again.check_stored()
    check_chains(again)
    assert not again.log.tail.events, "all is delivered"


@pytest.mark.parametrize("power_loss", [False, True], ids=["kill", "power loss"])
def test_a_stop_at_any_operation_of_batches_sent_at_once_loses_nothing(state: StateFile, power_loss: bool) -> None:
    life = moments(None, state, lambda log: work(log, count()), opened=SwitchingLog)
    checked = 0
    for moment in list(distinct(each.after(power_loss=power_loss) for each in life))[:: 1 if power_loss else 3]:
        try:
            check_next_life(moment, state)
        except Exception as error:
            raise AssertionError(f"stopped before operation {moment.operation}: {error}") from error
        checked += 1
    assert checked > 40


def test_no_sequence_is_given_again_where_the_state_database_is_lost_as_well(state: StateFile) -> None:
    """What is in the other storage isn't known then: the journal alone says how far its log got."""
    life = moments(None, state, lambda log: work(log, count()), opened=SwitchingLog)
    for moment in distinct(each.after(power_loss=True).without_catalogue() for each in life):
        state.put()
        check_goes_on(SwitchingLog(moment.files.copy(), state, dict(moment.acknowledged)))


def test_a_batch_is_not_confirmed_before_an_older_one(state: StateFile) -> None:
    """Its record would name one that isn't the one before it."""
    log = SwitchingLog(ForgetfulFiles(), state)
    log.switch(OTHER)
    for number in (0, 1):
        log.emit(number)
        log.log.writer.cut()
    delivery = log.deliveries[OTHER]
    first, second = map(delivery.send, delivery.waiting(2))
    with pytest.raises(RuntimeError, match="before an older one"):
        delivery.confirm(second)
    assert not list(log.storages.of(OTHER).list_records())
    for sent in (first, second):
        delivery.confirm(sent)
    check_chains(log)
