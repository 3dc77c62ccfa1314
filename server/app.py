"""The composition root: the one place that names concrete classes and puts them together."""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from rbac.holder import PolicyHolder
from rbac.permissions import PERMISSIONS
from server.access.lock_table import LockTable
from server.access.locks import Locks
from server.access.rights import Rights
from server.audit_log.changes import Changes
from server.audit_log.clock_steps import ClockSteps
from server.audit_log.commit_notice import CommitNotice
from server.audit_log.gate import IntakeGate
from server.audit_log.intake import Intake
from server.audit_log.kept_policies import KeptPolicies
from server.audit_log.outbox_drain import OutboxDrain
from server.audit_log.recalling import Recalling
from server.audit_log.search.digests import ObjectDigests
from server.audit_log.self_audit import SelfAudit
from server.audit_log.service_log import ServiceLog
from server.audit_log.status import Status
from server.audit_log.switch import JournalSwitch
from server.audit_log.taken_names import TakenNames
from server.audit_log.validation import Validator
from server.aws_storages import aws_storages
from server.callers_assembly import certificates_of, token_listener, tokens_of
from server.certificates.issued import SerialTable
from server.certificates.local_authority import ensure_local_authority
from server.certificates.modes import check_modes
from server.config import Config
from server.data_directory import PAGE_TOKENS, SESSION_TOKENS, DataDirectory, DirectoryLock, kept_secret
from server.exposition import Exposition
from server.external_storage_assembly import assemble as assemble_storages
from server.files import DiskFiles, Files
from server.grpc_api.interceptors.observation import CallMeter, RefusalObserver
from server.grpc_api.server import GrpcServer, Limits, UseCases
from server.housekeeping import Housekeeping, Watched
from server.http_api.listener import OperationsServer
from server.http_api.operations import operations_app
from server.integrations.integrations import Integrations
from server.issuer_assembly import issuer_part
from server.lifecycle import App, threads_of
from server.observability.alerts.alerts import Alerts
from server.observability.alerts.evaluation import Evaluation
from server.observability.metrics import Metrics
from server.observability.service_metrics import LoopLag
from server.observability.spans import NO_SPANS
from server.observability.trace_opening import open_tracing
from server.reading_assembly import Surroundings as ReadingSurroundings
from server.reading_assembly import assemble as assemble_reading
from server.recordings.sessions.reindexing import Reindexing
from server.recordings.sessions.session_index import SessionIndex
from server.recordings.storages import RecordingStorages
from server.recordings_assembly import Surroundings, assemble
from server.reloading import Held, Reloading, Settings, cut_limits
from server.scrub_assembly import StoredEvents, StoredRecordings, assemble_scrub
from server.state.active_storage import active_storage, storage_to_come
from server.state.catalogue import Catalogue
from server.state.database import Database, open_database
from server.state.integrations import SqlIntegrations
from server.state.issued_certificates import SqlIssuedCertificates
from server.state.locks import SqlLocks
from server.state.outbox import Outbox
from server.state.session_pages import SqlSessionPages
from server.state.sessions import SqlSessionIndex
from server.state.signing_keys import SqlSigningKeys
from server.state.storage_damage import SqlStorageDamage, Walk
from server.state.uploads import SqlUploads
from server.storage.embedded.recordings import EmbeddedRecordings
from server.storage.embedded.storage import EmbeddedStorage
from server.storage.scan.engine import DuckScanEngine
from server.storages_assembly import OtherStorages, Ways, deliveries_to, diverting_from, known_storages, open_audit_log
from server.surroundings import surroundings

_log = logging.getLogger(__name__)


def build(
    config: Config,
    *,
    files: Files | None = None,
    read: Callable[[], Config] | None = None,
    others: Callable[[Database], OtherStorages] | None = None,
) -> App:
    """Put the service together, within the running event loop: take the data directory, recover, load certificates.

    `read` reads the configuration's sources again (see Reloading); without it what is in force stays. `others` gives
    the storages beside the default one, where they aren't those of AWS that the state has.

    Raises:
        DataDirectoryProblem, CertificateProblem, PolicyError: the service must not start; their text says why.
    """
    files = files or DiskFiles()
    directory = DataDirectory(config.data_dir)
    lock = directory.acquire()
    try:
        (config.ready_file or directory.ready_file).unlink(missing_ok=True)  # a killed server's
        return _build(config, files, directory, lock, read or (lambda: config), others)
    except BaseException:
        lock.release()
        raise


def _build(
    config: Config,
    files: Files,
    directory: DataDirectory,
    lock: DirectoryLock,
    read: Callable[[], Config],
    find_others: Callable[[Database], OtherStorages] | None,
) -> App:
    check_modes(directory.path)
    engine = open_database(directory.state)
    issued = SqlIssuedCertificates(engine)
    local = ensure_local_authority(directory.path, config.cluster_name, issued, datetime.now(UTC))
    serials = SerialTable(issued)
    serials.refresh()
    lock_store = SqlLocks(engine)
    lock_table = LockTable(lock_store, _now_ms)
    lock_table.refresh()
    outbox = Outbox(engine)
    changes = Changes(outbox)
    alerts = Alerts(_now_ms, changes.alert_raised, changes.alert_cleared)
    certificates = certificates_of(config, local, serials, changes)
    tokens = tokens_of(config, certificates, changes)
    files.make_folder(directory.roles)  # so that a role file can be put there while the service runs
    policy = PolicyHolder(config.roles_dir or directory.roles, directory.account)
    metrics = Metrics(PERMISSIONS)
    issuer = issuer_part(config, directory, SqlSigningKeys(engine), files, metrics.issuer, _now_ms)
    version = importlib.metadata.version("extaudit")
    tracing = open_tracing(config.traces, version, metrics.traces)
    spans = tracing or NO_SPANS
    settings = Settings(config, metrics.configuration)
    loop = asyncio.get_running_loop()
    threads = threads_of(config.search.workers)
    others = (find_others or partial(aws_storages, config, directory, files, issuer.tokens, metrics.athena))(engine)
    default = EmbeddedStorage(files, directory.storage / "events")
    storages = known_storages(default, others, active_storage(engine))
    catalogue = Catalogue(engine)
    wake: list[Callable[[], None]] = []

    def on_cut() -> None:
        for callback in wake:
            loop.call_soon_threadsafe(callback)

    validator = Validator(kept_secret(files, directory, "known-uids.key"), config.grpc.max_event_bytes)
    log = open_audit_log(config, cut_limits(config), files, directory, storages, catalogue, outbox, on_cut, validator)
    log.journal.on_sync = metrics.journal.synced
    gate = IntakeGate(config.journal.quota_bytes, config.journal.disk_floor_bytes)
    notice = CommitNotice()
    intake = Intake(
        log.writer,
        validator,
        threads.journal,
        threads.validation,
        gate,
        metrics.journal,
        max_pending_bytes=config.journal.max_pending_bytes,
        now_ms=_now_ms,
        batches_leave=lambda: not deliveries.is_failing(),
        committed=notice.tell,
    )
    scan = DuckScanEngine(
        threads=config.search.threads,
        memory_bytes=config.search.memory_bytes,
        allowed_directories=[str(directory.storage), str(directory.cache)],
    )
    session_index = SessionIndex(SqlSessionIndex(engine), log.tail, catalogue, storages, scan)
    reindexing = Reindexing(session_index, threads.reindexing)
    recalling = Recalling(storages, catalogue, log.tail, log.journal, log.proofs, threads.remote_reading)
    ways = Ways(
        log,
        catalogue,
        session_index.before_leaving,
        threads.delivery,
        metrics.deliveries,
        intake.goes_first,
        spans,
        alerts,
        TakenNames(outbox, alerts),
        recalling.look_back,
        config.external_storage.batches_at_once,
        config.external_storage.longest_pause_seconds,
    )
    deliveries = deliveries_to(storages, ways)
    drain = OutboxDrain(outbox, intake, lambda: storage_to_come(engine, storages.active))
    switch = JournalSwitch(log.writer, threads.journal, storages, deliveries, others.open, recalling.wake, drain.drain)
    wake.append(deliveries.wake)
    digests = ObjectDigests(storages)
    service_log = ServiceLog(intake)
    self_audit = SelfAudit(service_log, changes, drain, log.journal)
    embedded_recordings = EmbeddedRecordings(files, directory.storage / "recordings")
    recording_storages = RecordingStorages(embedded_recordings, others.open_recordings, lambda: storages.active)
    uploads = SqlUploads(engine)
    recordings = assemble(
        config,
        Surroundings(
            recording_storages,
            others.ids,
            uploads,
            SqlSessionPages(engine),
            session_index,
            reindexing,
            threads.searches,
            service_log,
            _now_ms,
            alerts,
            directory.path / "recorded-text.sqlite",
        ),
        upload_key=kept_secret(files, directory, "upload-id.key"),
        token_key=kept_secret(files, directory, SESSION_TOKENS),
    )
    reading = assemble_reading(
        config,
        ReadingSurroundings(
            storages,
            scan,
            others.finder,
            log,
            catalogue,
            engine,
            digests,
            threads,
            service_log,
            notice,
            metrics,
            spans,
            alerts,
        ),
        token_key=kept_secret(files, directory, PAGE_TOKENS),
    )
    searches = reading.searches
    damage = SqlStorageDamage(engine)
    if log.is_copy:  # what was walked through is the original's storage
        damage.keep_walk(Walk())
    scrubbing = assemble_scrub(
        config,
        StoredEvents(
            storages, catalogue, log.tail.pending, digests, reading.looks, ways.taken_names, others.without_versions
        ),
        StoredRecordings(recording_storages, others.ids, uploads, alerts),
        damage,
        metrics.scrub,
        lambda: intake.goes_first() or searches.places.taken > 0,
        _now_ms,
    )
    status = Status(
        version,
        log.journal,
        log.tail,
        gate,
        catalogue,
        storages,
        deliveries,
        log.recovery,
        surroundings(
            certificates,
            policy,
            self_audit.outbox,
            tokens,
            recordings.open_uploads,
            settings,
            scrubbing,
            issuer,
            others,
            alerts,
            recordings.settling,
            config.http.certificate,
        ),
    )
    integrations = Integrations(
        SqlIntegrations(engine), lambda: frozenset(each.section.storage for each in log.tail.pin()), _now_ms
    )
    diverting = diverting_from(storages, ways, deliveries)
    external = assemble_storages(config, engine, issuer.tokens, switch, diverting, _now_ms)
    locks = Locks(lock_store, lock_table, _now_ms, lambda: server.look_again())
    server = GrpcServer(
        config.grpc.listen,
        certificates.server_credentials(),
        certificates,
        policy,
        lock_table,
        UseCases(
            intake,
            searches,
            reading.exports,
            reading.watches,
            status,
            Rights(policy, lock_table),
            locks,
            self_audit.denials,
            recordings.uploads,
            recordings.opening,
            recordings.lists,
            recordings.text_search,
            metrics.recordings,
            external.drafts,
            integrations,
            issuer.tokens,
            external.plans,
            issuer.rotation,
            external.promotions,
            external.tests,
            external.backlogs,
        ),
        limits=Limits.of(config),
        observers=[CallMeter(metrics.calls), RefusalObserver(self_audit.denials)],
        traffic=metrics.calls.traffic,
        spans=tracing,
        tokens=token_listener(config, certificates, tokens),
    )
    operations = operations_app(
        status.problems,
        Exposition(
            metrics,
            status,
            tokens,
            recordings.open_uploads,
            intake,
            searches,
            self_audit.outbox,
            threads.by_name() | recordings.threads_by_name(),
            [scrubbing.record, issuer.record],
        ).render,
        alerts.listed,
        lambda: server.is_stopping,
    )
    http = OperationsServer(config.http.listen, operations, config.http.certificate, config.http.key)
    watched = Watched(
        directory,
        gate,
        status,
        log.writer,
        serials,
        lock_table,
        certificates,
        policy,
        metrics.access,
        intake.pending_bytes,
        changes,
        KeptPolicies(files, directory.policies),
        ClockSteps(),
        recordings.room,
        recordings.open_uploads,
        issuer.listener,
    )
    housekeeping = Housekeeping(watched, threads.journal, server.health.set_serving)
    held = Held(gate, log.writer, intake, searches, recordings, server, issuer)
    return App(
        config,
        directory,
        lock,
        local,
        log,
        intake,
        deliveries,
        recalling,
        switch,
        lambda: active_storage(engine),
        status,
        self_audit,
        server,
        http,
        housekeeping,
        reindexing,
        recordings.text_indexing,
        recordings.settling,
        scrubbing,
        Evaluation(alerts, config.alerts.period_seconds),
        tokens,
        issuer,
        Reloading(settings, read, held, changes, metrics.configuration),
        LoopLag(metrics.service),
        threads,
        external.tests,
        others.give_up,
        [
            scrubbing.close,
            reading.looks.close,
            reading.pages.close,
            session_index.close,
            recordings.close,
            others.close,
            scan.close,
            engine.dispose,
            *([tracing.close] if tracing else []),
        ],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
