"""A data directory in whose log there is every event that the service writes about itself."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from extaudit.v1 import event_export_pb2 as export_pb
from extaudit.v1 import event_query_pb2 as query_pb
from extaudit.v1 import event_watch_pb2 as watch_pb
from extaudit.v1 import external_audit_storage_service_pb2 as storage_pb
from extaudit.v1 import integration_service_pb2 as integration_pb
from extaudit.v1.audit_log_service_pb2_grpc import AuditLogServiceStub
from extaudit.v1.external_audit_storage_service_pb2_grpc import ExternalAuditStorageServiceStub
from extaudit.v1.integration_service_pb2_grpc import IntegrationServiceStub
from extaudit_client import Client, Query, SessionQuery, TextQuery
from extaudit_client.errors import ExtauditError
from extaudit_client.files import find_connection

from server.app import App
from server.audit_log.cuts import Cut
from server.audit_log.fork_request import request_fork
from server.audit_log.tail import Tail
from server.audit_log.taken_names import TakenName, TakenNames
from server.certificates.issuing import issue_user, renew
from server.config import AwsSection, Config, ConfigProblems, GrpcSection, SearchSection
from server.external_storage.backlogs import DiversionRequest
from server.external_storage.promotions import PromotionRequest
from server.files import DiskFiles
from server.integrations.key_forgetting import forget_signing_keys
from server.integrations.key_life import Schedule
from server.observability.alerts.alerts import Alerts
from server.service_events import (
    ALERT_CLEARED,
    CLOCK_STEPPED,
    CODES,
    CONFIGURATION_REFUSED,
    CONFIGURATION_RELOADED,
    LOCK_CREATED,
    STORAGE_DAMAGED,
)
from server.state.database import database_path, open_database
from server.state.outbox import Outbox
from tests.certificates_builder import CaShape
from tests.crash.damaged_journal import flipped
from tests.polling import until
from tests.running_app import running_app
from tests.storages_under_test import REQUEST, Storages
from tests.storages_under_test import access as storage_access
from tests.tokens_builder import ed_key, issuer, jwks
from tests.uploads_under_test import UploadsUnderTest, access

Events = dict[str, list[dict[str, Any]]]

ISSUER = "https://own.test"
NO_AWS = AwsSection(endpoint="http://127.0.0.1:9", attempts=1)
SESSION = "0d4c1f0e-6f5b-4f0a-8a39-1b8a2a6f0c11"
ROLE = """
kind: role
version: v7
metadata: {name: reader}
spec: {allow: {rules: [{resources: [event], verbs: [list]}]}}
"""


def own_events(client: Client) -> Events:
    """Every event of the service's own, by type, oldest first."""
    found: Events = {kind: [] for kind in CODES}
    for page in client.search_pages(Query(types=tuple(CODES), order="oldest")):
        for row in page.rows:
            event = json.loads(row.json)
            found[event["event"]].append(event)
    return found


def watches_and_exports(app: App) -> None:
    """Watches, in all ways to begin; lists chunks, and asks for one that isn't there."""
    ready = app.ready
    pems = (Path(ready[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        stub = AuditLogServiceStub(channel)
        begun = watch_pb.LogPlace(logs={app.log.journal.log_id: 1})
        for start in {"filter": query_pb.EventFilter(types=["a"])}, {"after": begun}, {"received_from": {"seconds": 1}}:
            watch = stub.WatchEvents(watch_pb.WatchEventsRequest(**start))
            assert next(watch).place.logs
            watch.cancel()
        app.threads.journal.submit(app.log.writer.cut).result(60)
        until(lambda: stub.ListEventChunks(export_pb.ListEventChunksRequest()).chunks)
        for chunk in stub.ListEventChunks(export_pb.ListEventChunksRequest()).chunks:
            assert list(stub.ExportEvents(export_pb.ExportEventsRequest(chunk_id=chunk.id)))[-1].done
        with pytest.raises(grpc.RpcError):
            list(stub.ExportEvents(export_pb.ExportEventsRequest(chunk_id=f"default/{app.log.journal.log_id}/1-9")))


def drafts(app: App, data_dir: Path) -> None:
    """Makes a draft of an external audit storage, changes it, tests it and deletes it."""
    engine = open_database(database_path(data_dir))
    Storages(engine).add_integration()
    engine.dispose()
    ready = app.ready
    pems = (Path(ready[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        stub = ExternalAuditStorageServiceStub(channel)
        asked = {"integration_name": "production", "region": "us-west-2"}
        draft = stub.GenerateDraft(storage_pb.GenerateDraftRequest(**asked)).draft
        request = storage_pb.UpsertDraftRequest(spec=draft.spec, revision=draft.revision, description="changed")
        stub.UpsertDraft(request)
        *_, last = stub.TestConnection(storage_pb.TestConnectionRequest(stage=1))
        assert not last.end.test.passed
        stub.DeleteDraft(storage_pb.DeleteDraftRequest())


def integrations(app: App) -> None:
    """Creates one, gives it another role, and deletes it."""
    ready = app.ready
    pems = (Path(ready[name]).read_bytes() for name in ("ca", "key", "cert"))
    with grpc.secure_channel(ready["grpc"], grpc.ssl_channel_credentials(*pems)) as channel:
        stub = IntegrationServiceStub(channel)
        asked = integration_pb.CreateIntegrationRequest()
        asked.integration.name = "staging"
        asked.integration.aws_oidc.role_arn = "arn:aws:iam::111122223333:role/old"
        made = stub.CreateIntegration(asked).integration
        made.aws_oidc.role_arn = "arn:aws:iam::111122223333:role/new"
        stub.UpdateIntegration(integration_pb.UpdateIntegrationRequest(integration=made, reason="renamed"))
        stub.DeleteIntegration(integration_pb.DeleteIntegrationRequest(name=made.name))


def client_of(data_dir: Path, folder: Path | None = None, name: str = "admin") -> Client:
    """A client as the administrator, or as `name` with the files in `folder`."""
    given = {} if folder is None else {"cert": folder / f"{name}.crt", "key": folder / f"{name}.key"}
    return Client(find_connection({}, data_dir, **given))


class Lives:
    """What happens in each run of the service."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "data"
        self.roles = self.data_dir / "roles"
        self.user_ca = folder / "users.pem"
        self.jwks = folder / "jwks.json"
        self.jwks.write_bytes(jwks(ed_key()))
        self.times_read = 0

    def first(self) -> None:
        """Makes the local authority."""
        with running_app(self.data_dir):
            identity = self.data_dir / "identity"
            shutil.copy(identity / "user-ca.crt", self.user_ca)
            shutil.copy(identity / "host-ca.crt", self.folder / "hosts.pem")

    def second(self) -> None:
        """Changes everything that can change while the service runs."""
        with (
            running_app(self.data_dir, grpc=self.section(), read=self.read, issuer_url=ISSUER, aws=NO_AWS) as app,
            client_of(self.data_dir) as client,
        ):
            self.identities()
            lock = client.create_lock("user", "eve", reason="left the company")
            client.delete_lock(lock.id)
            integrations(app)
            self.reloads(app, client)
            for kind in CLOCK_STEPPED, LOCK_CREATED:
                client.search(Query(types=(kind,)))
            self.signing_keys(app, client)
            self.denials()
            client.emit(b'{"event":"a","uid":"u-1"}')
            client.get("u-1")
            watches_and_exports(app)
            drafts(app, self.data_dir)
            client.emit(b'{"event":"a","uid":"u-2"}')
            until(lambda: own_events(client)["extaudit.events.watch.end"])
            until(lambda: own_events(client)["extaudit.events.export.end"])
            self.recordings(client)
            self.log_id = app.log.journal.log_id

    def read(self) -> Config:
        """The configuration, read again: right the first time."""
        self.times_read += 1
        if self.times_read > 1:
            raise ConfigProblems(["search.workers (file): must be 1 to 64 threads"])
        return Config(search=SearchSection(workers=3, time_limit_seconds=5), issuer_url=ISSUER, aws=NO_AWS)

    def section(self) -> GrpcSection:
        return GrpcSection(
            listen="localhost:0",
            host_ca=(self.folder / "hosts.pem",),
            user_ca=(self.user_ca,),
            token_listen="localhost:0",
            token_issuers=(issuer(jwks_url=None, jwks_file=self.jwks),),
        )

    def identities(self) -> None:
        issue_user(self.data_dir, "alice", ["auditor"], 1, self.folder / "alice")
        renew(self.data_dir, "alice", self.folder / "alice", 1)

    def put(self, path: Path, content: bytes) -> None:
        """Have a file there at once: one that is seen while it is written is an event more."""
        aside = self.folder / "aside"
        aside.write_bytes(content)
        aside.replace(path)

    def reloads(self, app: App, client: Client) -> None:
        def told(kind: str) -> Callable[[], object]:
            return lambda: own_events(client)[kind]

        self.put(self.roles / "reader.yaml", ROLE.encode())
        until(told("extaudit.roles.reload"))
        self.put(self.roles / "broken.yaml", b"kind: nothing")
        until(told("extaudit.roles.refused"))
        self.put(self.user_ca, self.user_ca.read_bytes() + CaShape().make().pem)
        until(told("extaudit.certificates.reload"))
        self.put(self.user_ca, b"broken")
        until(told("extaudit.certificates.refused"))
        self.put(self.jwks, b"broken")
        until(told("extaudit.jwks.refused"))
        app.tokens._keys[0]._fresh_until = 0.0
        until(told("extaudit.jwks.expire"))
        app.housekeeping._watched.clock._difference -= 90.0
        until(told(CLOCK_STEPPED))
        app.alerts.alerts.raise_standing("default", "object-changed", "2026-11-25/a.parquet")
        app.alerts.alerts.clear_standing("default", "object-changed")
        until(told(ALERT_CLEARED))
        for kind in CONFIGURATION_RELOADED, CONFIGURATION_REFUSED:
            app.reloading.ask()
            until(told(kind))

    def signing_keys(self, app: App, client: Client) -> None:
        assert app.issuer.keys
        app.issuer.keys.schedule = Schedule(rotation_ms=2**60, publish_ahead_ms=0, retiring_ms=0)
        client.integrations.rotate_signing_key("as planned")
        until(lambda: own_events(client)["extaudit.issuer.key.retire"])
        client.integrations.rotate_signing_key("a backup was stolen", drop_old=True)
        until(lambda: own_events(client)["extaudit.issuer.key.drop"])

    def recordings(self, client: Client) -> None:
        upload = client.recordings.upload(io.BytesIO(b"recorded"), SESSION)
        client.recordings.complete(upload.upload_id)
        assert b"".join(client.recordings.read(SESSION)) == b"recorded"
        assert len(list(client.recordings.events(SESSION))) == 3
        assert [session.session_id for session in client.recordings.list(SessionQuery(text=SESSION))] == [SESSION]
        assert client.recordings.search_page(TextQuery("recorded")).next_page_token == ""
        assert list(client.recordings.reindex())[-1].done

    def denials(self) -> None:
        with client_of(self.data_dir, self.folder / "alice", "alice") as alice:
            for _ in range(3):
                with pytest.raises(ExtauditError):
                    alice.emit(b'{"event":"a"}')

    def between(self) -> None:
        """Damages journal and storage, has a fork done, and leaves an event that the journal won't take as it is."""
        (segment,) = (self.data_dir / "journal" / self.log_id).iterdir()
        content = segment.read_bytes()
        segment.write_bytes(flipped(content, content.index(b'"u-2"')))
        assert forget_signing_keys(self.data_dir, "the wrapping key is lost", "root")
        request_fork(self.data_dir, "restored from a backup", "root", None)
        engine = open_database(database_path(self.data_dir))
        taken = TakenName("default", "2026-11-20/a.parquet", "2026-11-20/a.r1.parquet")
        TakenNames(Outbox(engine), Alerts()).tell(taken)
        Outbox(engine).put(b'{"event":"extaudit.lock.create","uid":"u","time":"2999-01-01T00:00:00Z"}')
        asyncio.run(promotions(Storages(engine)))
        asyncio.run(uploads_that_end(UploadsUnderTest(DiskFiles(), engine, self.data_dir / "storage" / "recordings")))
        engine.dispose()
        (self.roles / "broken.yaml").unlink()
        unlisted = self.data_dir / "storage" / "events" / "2026-11-20" / "0123456789abcdef0123-1-9.parquet"
        unlisted.parent.mkdir()
        unlisted.write_bytes(b"of no batch")


async def promotions(storages: Storages) -> None:
    """A draft comes into force after a test, and is disabled; what waits for a storage is diverted."""
    draft = await storages.drafts.create(storage_access(), REQUEST)
    storages.now_ms += 60_000
    storages.add_test(draft.revision)
    await storages.promotions.promote(storage_access(), PromotionRequest(draft.revision))
    await storages.promotions.disable(storage_access(), "", "the account closes")
    tail = Tail()
    tail.begin("f" * 20, 1, "aws-gone").cut = Cut("f" * 20, 1, 2, "aws-gone")
    asked = DiversionRequest("aws-gone", "default", "the account was closed")
    assert (await storages.backlogs(tail).divert(storage_access(), asked)).backlog.batches == 1


async def uploads_that_end(service: UploadsUnderTest) -> None:
    """One is aborted, one becomes the recording, one repeats it."""
    await service.uploads.abort(access(), await service.send(b"half"))
    for _ in range(2):
        await service.record(b"whole")


def every_own_event(folder: Path) -> tuple[Events, Path]:
    """Live through everything; gives the events, and the data directory."""
    lives = Lives(folder)
    lives.first()
    lives.second()
    lives.between()
    with running_app(lives.data_dir), client_of(lives.data_dir) as client:
        until(lambda: own_events(client)[STORAGE_DAMAGED])
        return own_events(client), lives.data_dir
