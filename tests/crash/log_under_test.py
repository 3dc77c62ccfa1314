"""The audit log without sockets, on any file layer: what the crash tests stop, reopen and look into."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import pyarrow.parquet as pq

from rbac.identities import Identity, IdentityKind
from server.audit_log.batch_codec import read_sequences
from server.audit_log.batch_record import BatchRecord, record_digest
from server.audit_log.cuts import CutLimits
from server.audit_log.delivery import Delivery
from server.audit_log.known_uids import UidLimits
from server.audit_log.log_writer import Submission
from server.audit_log.opening import OpenLog, Places, open_log
from server.audit_log.receipts import BatchAcknowledgement
from server.audit_log.record_proof import RecordProofs
from server.audit_log.storages import Storages
from server.audit_log.validation import Validator, joined_payloads
from server.files import Files
from server.service_events import JOURNAL_DAMAGED, JOURNAL_FORKED
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.state.outbox import Outbox
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import EventStorage

ROOT = Path("data")
TOKEN_KEY = ROOT / "identity" / "page-token.key"
PLACES = Places(ROOT / "journal", ROOT / "spool", ROOT / "known_uids", (TOKEN_KEY,))
STORAGE = ROOT / "storage" / "events"
EMITTER = Identity(IdentityKind.USER, "tester", frozenset({"importer"}))
NOW_MS = 1_795_000_000_000
VALIDATOR = Validator(b"secret", 2**20)
PROOFS = RecordProofs(b"secret")
CUT_EVENTS = 4


def event(number: int) -> bytes:
    """An event with its own uid; the dates of neighbours differ, so that batches have several objects."""
    day = 1 + number % 2
    body = {
        "event": "test",
        "uid": f"uid-{number}",
        "time": f"2026-11-0{day}T00:00:00.{number % 1000:03d}Z",
        "n": number,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def submission(*numbers: int) -> Submission:
    """The same, validated, as one message."""
    validated = VALIDATOR.validate(joined_payloads([event(number) for number in numbers]), EMITTER, NOW_MS)
    return Submission(b'["user","tester","a","s","p"]', NOW_MS, validated.block)


class StateFile:
    """A state database that many lives use after each other: emptied, kept and put back as files are."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wal = path.with_name(path.name + "-wal")
        self.engine = open_database(path)
        self.close()
        self._empty = path.read_bytes()

    def close(self) -> None:
        """End all connections; the next use opens new ones."""
        self.engine.dispose()

    def content(self) -> tuple[bytes, bytes]:
        """What a process that ends now leaves of it."""
        return self._path.read_bytes(), self._wal.read_bytes() if self._wal.exists() else b""

    def put(self, content: tuple[bytes, bytes] | None = None) -> None:
        """Make it what it was, or as new."""
        self.close()
        database, wal = content or (self._empty, b"")
        self._path.write_bytes(database)
        self._wal.write_bytes(wal)


@dataclass
class LogUnderTest:
    """One process's life: opened on a file layer and a state database."""

    files: Files
    state: StateFile
    acknowledged: dict[int, tuple[str, int]] = field(default_factory=dict)
    """Event number -> (log_id, sequence), over all lives."""

    def __post_init__(self) -> None:
        self.state.close()
        self.catalogue = Catalogue(self.state.engine)
        self.storage = EmbeddedStorage(self.files, STORAGE)
        self.storages = Storages(self.storage, *self.others())
        self.log: OpenLog = open_log(
            self.files,
            PLACES,
            self.storages,
            self.catalogue,
            Outbox(self.state.engine),
            CutLimits(events=CUT_EVENTS),
            UidLimits(minimum=1000, bound=2000, generation=100),
            on_cut=lambda: None,
            validator=VALIDATOR,
            proofs=PROOFS,
        )
        self.told = self._drained()
        """First and last sequence of each hole that this start told the outbox of."""
        self.deliveries = {storage.storage_id: self._delivery(storage) for storage in self.storages.all()}
        self.delivery = self.deliveries["default"]

    def others(self) -> Sequence[EmbeddedStorage]:
        """The storages beside the default one."""
        return ()

    def place(self, _storage: str, log_id: str) -> str:
        """What events are known by beside their sequence."""
        return log_id

    def _delivery(self, storage: EventStorage) -> Delivery:
        log = self.log
        return Delivery(storage, log.tail, log.spool, self.catalogue, log.uid_files, log.journal, log.proofs)

    def _drained(self) -> list[tuple[int, int]]:
        outbox = Outbox(self.state.engine)
        waiting = outbox.first(100)
        outbox.remove([item.number for item in waiting])
        told = [json.loads(item.data) for item in waiting]
        self.forks = list({event["uid"]: event for event in told if event["event"] == JOURNAL_FORKED}.values())
        lost = [event["lost"] for event in told if event["event"] == JOURNAL_DAMAGED]
        return [(hole["first_sequence"], hole["last_sequence"]) for hole in lost]

    def emit(self, *numbers: int) -> BatchAcknowledgement:
        """Make events durable in one commit and note what was acknowledged. Raises what the commit raised."""
        [answer] = self.log.writer.commit([submission(*numbers)])
        if not isinstance(answer, BatchAcknowledgement):
            raise answer
        fresh = iter(sequence for first, last in answer.sequences for sequence in range(first, last + 1))
        repeated = {
            index: (self.place(storage, log_id), sequence) for index, storage, log_id, sequence in answer.repeated
        }
        for index, number in enumerate(numbers):
            place = repeated.get(index) or (self.place(answer.storage, answer.log_id), next(fresh))
            assert self.acknowledged.setdefault(number, place) == place, "a retry must get its first acknowledgement"
        return answer

    def deliver_all(self) -> None:
        """Deliver everything that is cut."""
        for storage in self.deliveries:
            self.deliver_to(storage)

    def deliver_to(self, storage: str) -> None:
        """Deliver everything of a storage that is cut."""
        while self.deliveries[storage].deliver_next() is not None:
            pass

    def everything(self) -> list[tuple[str, int, int]]:
        """(log_id, sequence, event number) of every event a search would count: the tail's, and the catalogue's less
        those of batches that the tail covers."""
        pending = {each[:2] for each in self.log.tail.pending()}
        found = [
            (self.place(pin.section.storage, pin.section.log_id), row.sequence, json.loads(row.event.data)["n"])
            for pin in self.log.tail.pin()
            for row in pin.rows()
        ]
        for item in (item for storage in self.storages.ids() for item in self.catalogue.objects(storage)):
            if (item.log_id, item.first) not in pending:
                found += self.stored(item.name, item.log_id, item.storage)
        return found

    def stored(self, name: str, log_id: str, storage: str = "default") -> list[tuple[str, int, int]]:
        """(log_id, sequence, event number) of each row of an object, sequences as its footer gives them."""
        content = self.files.read(Path(self.storages.of(storage).location()) / name)
        return [(self.place(storage, log_id), sequence, number) for sequence, number in _rows(content)]

    def records(self) -> list[BatchRecord]:
        """All batch records in the storage."""
        names = self.storage.list_records()
        return [BatchRecord.decode(data) for name in names if (data := self.storage.read_record(name))]

    def check_records(self) -> None:
        """Records of one log follow each other without gap, each naming the digest of the one before."""
        before: dict[str, tuple[int, str]] = {}
        for record in sorted(self.records(), key=lambda record: (record.log_id, record.first)):
            last, digest = before.get(record.log_id, (0, ""))
            assert (record.first, record.previous) == (last + 1, digest)
            before[record.log_id] = record.last, record_digest(record.encode())
        confirmed = {log_id: last for log_id, (last, _) in before.items()}
        assert self.catalogue.confirmed() == confirmed, "a batch has no record"
        known = {item.name for item in self.catalogue.objects("default")}
        stored = {f"{date}/{name}" for date in self._dates() for name in self.files.list(STORAGE / date)}
        assert stored == known, "an object is in no batch, so that its events are there twice"

    def _dates(self) -> list[str]:
        return [name for name in self.files.list(STORAGE) if name != "_batches"]

    def check(self, *, lost: frozenset[int] = frozenset()) -> None:
        """Every acknowledged event is there once, under its sequence; every sequence is there once."""
        found = self.everything()
        places = Counter((log_id, sequence) for log_id, sequence, _ in found)
        assert not [place for place, count in places.items() if count > 1], "a sequence is there twice"
        numbers = Counter(number for _, _, number in found)
        assert not [number for number, count in numbers.items() if count > 1], "an event is there twice"
        there = {number: (log_id, sequence) for log_id, sequence, number in found}
        for number, place in self.acknowledged.items():
            if number not in lost:
                assert there.get(number) == place, f"acknowledged event {number} is not at {place}"


@lru_cache(maxsize=1024)
def _rows(content: bytes) -> list[tuple[int, int]]:
    """Sequence and event number of each row of a Parquet object."""
    table = pq.read_table(io.BytesIO(content), columns=["event_data"], use_threads=False)
    numbers = [json.loads(row)["n"] for row in table["event_data"].to_pylist()]
    return list(zip(read_sequences(io.BytesIO(content)), numbers, strict=True))
