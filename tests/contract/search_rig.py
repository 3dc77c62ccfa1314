"""A log, its storage and a search over both, in a folder and without sockets; and what was acknowledged, remembered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson

from rbac.identities import Identity, IdentityKind
from server.audit_log.bucket_looks import Freshness
from server.audit_log.cuts import CutLimits
from server.audit_log.delivery import Delivery
from server.audit_log.event import Event
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.known_uids import UidLimits
from server.audit_log.log_writer import Submission
from server.audit_log.opening import OpenLog, Places, open_log
from server.audit_log.receipts import BatchAcknowledgement, Emitter, Receipt, decode_emitter, encode_emitter
from server.audit_log.record_proof import RecordProofs
from server.audit_log.retention import Retention
from server.audit_log.search.column_reader import MakingElsewhere
from server.audit_log.search.elsewhere import Elsewhere
from server.audit_log.search.page_columns import PageColumns, WrittenRows, digests_alone
from server.audit_log.search.query import SearchPage, SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.audit_log.storages import Storages
from server.audit_log.taken_names import TakenName
from server.audit_log.timestamps import format_rfc3339
from server.audit_log.validation import Validator, joined_payloads
from server.files import DiskFiles
from server.observability.alerts.alerts import Alerts
from server.state.catalogue import Catalogue
from server.state.database import open_database
from server.state.outbox import Outbox
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.ports import EventStorage, ScanEngine
from server.storage.query import Position
from server.storage.scan.engine import DuckScanEngine

DAY_MS = 86_400_000
NOON = 1_795_003_200_000
"""2026-11-18T12:00:00Z."""
NOW_MS = NOON + DAY_MS
ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}), "anchor", "a1")
BOB = Identity(IdentityKind.USER, "bob", frozenset({"auditor"}), "anchor", "b1")
NODE = Identity(IdentityKind.COMPONENT, "node-1", frozenset({"Node"}), "host-anchor", "c1")
CALLER = ALICE
TOKEN_KEY = b"k" * 32
VALIDATOR = Validator(b"secret", 2**24)
PROOFS = RecordProofs(b"secret")


def event_json(uid: str, time_ms: int = NOON, type_: str = "user.login", **members: object) -> bytes:
    """The JSON of an event."""
    body = {"event": type_, "uid": uid, "time": format_rfc3339(time_ms), **members}
    return json.dumps(body, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Kept:
    """An acknowledged event and its receipt; of a foreign one the receipt names its object."""

    event: Event
    position: Position
    receipt: Receipt

    @property
    def emitter(self) -> Emitter | None:
        """Who emitted it."""
        return self.receipt.emitter


@dataclass
class SearchRig:
    """One process's life on a folder; `reopened` begins the next one."""

    folder: Path
    engine: ScanEngine
    limits: CutLimits = field(default_factory=CutLimits)
    token_key: bytes = TOKEN_KEY
    others: tuple[str, ...] = ()
    """Storages beside the default one."""
    open_other: Callable[[Path, str], EventStorage] = lambda folder, name: EmbeddedStorage(DiskFiles(), folder, name)
    """Gives one of them, which may keep files in a folder."""
    open_default: Callable[[Path], EventStorage] = lambda folder: EmbeddedStorage(DiskFiles(), folder)
    """Gives the default one."""
    now_ms: list[int] = field(default_factory=list)
    """The time by which things expire; that of the clock where there is none."""
    periods: list[tuple[int, str]] = field(default_factory=list)
    """Since when storages were active, as the state would have it."""
    alerts: Alerts = field(default_factory=Alerts)
    taken: list[TakenName] = field(default_factory=list)
    """What deliveries told of, over all lives."""
    kept: list[Kept] = field(default_factory=list)
    """In the order of acknowledgement, over all lives."""

    def __post_init__(self) -> None:
        files = DiskFiles()
        files.make_folder(self.folder)
        self.database = open_database(self.folder / "state.db")
        self.catalogue = Catalogue(self.database)
        self.storage = self.open_default(self.folder / "storage" / "events")
        others = [self.open_other(self.folder / "storage" / name, name) for name in self.others]
        self.storages = Storages(self.storage, *others)
        places = Places(self.folder / "journal", self.folder / "spool", self.folder / "known_uids")
        uids = UidLimits(minimum=1000, bound=2000, generation=100)
        self.log: OpenLog = open_log(
            files,
            places,
            self.storages,
            self.catalogue,
            Outbox(self.database),
            self.limits,
            uids,
            lambda: None,
            VALIDATOR,
            PROOFS,
        )
        self.delivery = self.delivery_to("default")
        self.search = self.search_with(self.engine)

    def delivery_to(self, storage: str) -> Delivery:
        """Deliveries to one of the storages."""
        log = self.log
        parts = log.tail, log.spool, self.catalogue, log.uid_files, log.journal, log.proofs
        return Delivery(self.storages.of(storage), *parts, name_taken=self.taken.append)

    @property
    def events_folder(self) -> Path:
        """Where the objects are."""
        return self.folder / "storage" / "events"

    def search_with(
        self,
        engine: ScanEngine,
        *,
        key: bytes | None = None,
        write: Callable[[PageColumns], WrittenRows] = digests_alone,
        making_elsewhere: MakingElsewhere | None = None,
    ) -> Search:
        """Another search over the same log and storage."""
        tokens = PageTokens(key or self.token_key)
        elsewhere = Elsewhere(lambda: self.periods, lambda: self.storages.switches, self.catalogue.diversions.all)
        # Every search looks anew into buckets.
        retention = self.retention
        foreign = ForeignLooks(
            self.storages, self.catalogue, self.log.tail.pending, self.alerts, Freshness(0, 0), retention
        )
        return Search(
            self.storages,
            engine,
            self.log.tail,
            self.catalogue,
            tokens,
            elsewhere=elsewhere,
            foreign=foreign,
            retention=retention,
            write=write,
            making_elsewhere=making_elsewhere,
        )

    @property
    def retention(self) -> Retention:
        """By the rig's time."""
        now_ms = self.now_ms or [time.time_ns() // 1_000_000]
        return Retention(self.storages, self.catalogue, lambda: now_ms[0])

    def close(self) -> None:
        """End this life in order."""
        self.log.journal.stop()
        self.log.uid_files.close()
        self.database.dispose()

    def reopened(self) -> SearchRig:
        """The next life on the same folder."""
        self.close()
        return replace(self)

    def killed(self) -> SearchRig:
        """The same after an end out of order."""
        self.log.uid_files.close()
        self.database.dispose()
        return replace(self)

    def emit(self, *raw: bytes, by: Identity = ALICE, received_ms: int = NOW_MS) -> list[Kept]:
        """Make events durable in one commit; gives what is new, retries left out."""
        validated = VALIDATOR.validate(joined_payloads(raw), by, NOW_MS)
        assert not validated.refused, validated.refused
        receipt = encode_emitter(by, "peer")
        [answer] = self.log.writer.commit([Submission(receipt, received_ms, validated.block)])
        assert isinstance(answer, BatchAcknowledgement), answer
        fresh = iter(sequence for first, last in answer.sequences for sequence in range(first, last + 1))
        repeated = {index for index, *_ in answer.repeated}
        emitter, _ = decode_emitter(orjson.loads(receipt))
        new = [
            kept_of(event, Receipt(answer.storage, answer.log_id, next(fresh), emitter, "peer", received_ms))
            for index, event in enumerate(map(validated.block.event, range(len(raw))))
            if index not in repeated
        ]
        self.kept += new
        return new

    def cut(self) -> None:
        """Make a batch of what is in the open section."""
        self.log.writer.cut()

    def deliver(self, batches: int = 1_000_000) -> None:
        """Deliver up to so many cut batches."""
        for _ in range(batches):
            if self.delivery.deliver_next() is None:
                return

    def store(self, *raw: bytes, by: Identity = ALICE) -> list[Kept]:
        """Emit, cut and deliver: one batch of its own."""
        new = self.emit(*raw, by=by)
        self.cut()
        self.deliver()
        return new

    def page(self, query: SearchQuery, *, by: Identity = CALLER, search: Search | None = None) -> SearchPage:
        """One page, with time enough."""
        return (search or self.search).page(by, query, time.monotonic() + 240)

    def pages(self, query: SearchQuery, *, search: Search | None = None) -> Iterator[SearchPage]:
        """All pages of a search; the caller may change the log between them."""
        while True:
            page = self.page(query, search=search)
            yield page
            if not page.next_page_token:
                return
            query = replace(query, page_token=page.next_page_token)

    def found(self, query: SearchQuery | None = None) -> list[str]:
        """The uids of all rows of a search."""
        return [row.position.uid for page in self.pages(query or SearchQuery()) for row in page.rows]

    def objects(self) -> list[Path]:
        """The stored objects' files, in order of name."""
        return sorted(self.events_folder.glob("[0-9]*/*.parquet"))


def kept_of(event: Event, receipt: Receipt) -> Kept:
    """An event with its place in the order."""
    return Kept(event, Position(event.time_ms, event.uid, hashlib.sha256(event.data).hexdigest()), receipt)


def duck_engine(folder: Path) -> DuckScanEngine:
    """An engine over everything below a folder."""
    return DuckScanEngine(threads=1, memory_bytes=1 << 29, allowed_directories=[str(folder.resolve())])


def receipts_by_position(kept: Collection[Kept]) -> dict[Position, set[Receipt]]:
    """What a search that finds all of these has to show."""
    rows: dict[Position, set[Receipt]] = {}
    for item in kept:
        rows.setdefault(item.position, set()).add(item.receipt)
    return rows


def shown(pages: Sequence[SearchPage]) -> list[tuple[Position, frozenset[Receipt]]]:
    """Position and receipts of every row of some pages; a receipt shown twice is a fault."""
    rows = [row for page in pages for row in page.rows]
    assert all(len(set(row.receipts)) == len(row.receipts) for row in rows), "a receipt is shown twice"
    return [(row.position, frozenset(row.receipts)) for row in rows]
