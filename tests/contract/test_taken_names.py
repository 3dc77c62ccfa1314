"""The alert of a name that others took: it stands as long as something has the name, and ends with that."""

from __future__ import annotations

from server.audit_log.taken_names import ALERT, RECORDS, TakenName, TakenNames
from server.observability.alerts.alerts import Alerts
from server.state.outbox import Outbox
from tests.contract.bucket_rig import BucketRig
from tests.contract.search_rig import SearchRig, event_json


def names_for(rig: SearchRig) -> TakenNames:
    return TakenNames(Outbox(rig.database), rig.alerts)


def put(rig: SearchRig, name: str) -> None:
    """As others do."""
    if isinstance(rig, BucketRig):
        rig.put(name, b"theirs")
    else:
        (rig.events_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (rig.events_folder / name).write_bytes(b"theirs")


def remove(rig: SearchRig, name: str) -> None:
    if isinstance(rig, BucketRig):
        rig.delete(name)
    else:
        (rig.events_folder / name).unlink()


def raised(rig: SearchRig) -> list[tuple[str, str]]:
    return [(alert.id, alert.detail) for alert in rig.alerts.listed()]


def test_the_alert_stands_until_nothing_has_a_name_of_ours_any_more(either: SearchRig) -> None:
    """After the batch was delivered under another one, and after a restart, too."""
    rig = either
    rig.emit(event_json("e"))
    rig.cut()
    cut = rig.log.tail.of_storage("default")[0].cut
    assert cut is not None
    first, second = (f"2026-11-18/{cut.name}{number}.parquet" for number in ("", ".r1"))
    record = f"{RECORDS}{cut.record_name}"
    for name in (first, second, record):
        put(rig, name)
    names = names_for(rig)
    rig.deliver()
    assert [each.name for each in rig.taken] == [first, second, record]
    for taken in rig.taken:
        names.tell(taken)
    for gone, left in ((record, second), (second, first)):
        remove(rig, gone)
        names.look(rig.storage, rig.catalogue)
        assert raised(rig) == [(ALERT, left)]
    rig.alerts = Alerts()
    names = names_for(rig)
    names.look(rig.storage, rig.catalogue)
    assert raised(rig) == [(ALERT, first)], "a restart comes upon what is left"
    remove(rig, first)
    names.look(rig.storage, rig.catalogue)
    assert raised(rig) == []
    for back in (second, record):
        put(rig, back)
        names.look(rig.storage, rig.catalogue)
        assert raised(rig) == [(ALERT, back)]
        remove(rig, back)


def test_one_that_is_taken_while_it_is_looked_keeps_the_alert(rig: SearchRig) -> None:
    """Of a batch on its way nothing but its delivery knows which names it passed over."""
    names = names_for(rig)
    names.tell(TakenName("default", "2026-11-18/a.parquet", "2026-11-18/a.r1.parquet"))
    listed = rig.storage.list_date

    class Meanwhile:
        storage_id = "default"

        def list_date(self, date: str) -> object:
            names.tell(TakenName("default", "2026-11-18/b.parquet", "2026-11-18/b.r1.parquet"))
            return listed(date)

    names.look(Meanwhile(), rig.catalogue)  # type: ignore[arg-type]  # all that it asks for
    assert len(raised(rig)) == 1
    names.look(rig.storage, rig.catalogue)
    assert raised(rig) == []
