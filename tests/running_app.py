"""The whole service in this process, on a thread of its own with real sockets, for tests that look inside."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from server.app import build
from server.config import (
    AlertsSection,
    AwsSection,
    Config,
    ExternalStorageSection,
    GrpcSection,
    HttpSection,
    IssuerSection,
    JournalSection,
    ScrubSection,
    TracesSection,
)
from server.files import Files
from server.lifecycle import App
from server.state.database import Database
from server.storages_assembly import OtherStorages

_SECONDS = 120


@contextmanager
def running_app(
    data_dir: Path,
    *,
    files: Files | None = None,
    journal: JournalSection | None = None,
    scrub: ScrubSection | None = None,
    alerts: AlertsSection | None = None,
    grpc: GrpcSection | None = None,
    cluster: str = "extaudit.local",
    watching: bool = True,
    read: Callable[[], Config] | None = None,
    traces: TracesSection | None = None,
    issuer_url: str | None = None,
    aws: AwsSection | None = None,
    external_storage: ExternalStorageSection | None = None,
    http: HttpSection | None = None,
    issuer: IssuerSection | None = None,
    others: Callable[[Database], OtherStorages] | None = None,
) -> Iterator[App]:
    """Serve from `data_dir` until the end of the block. Without `watching` nothing is looked at in the background.

    `read` reads the configuration again, `others` gives the storages beside the default one, as `build` has them.
    """
    config = Config(
        data_dir,
        cluster_name=cluster,
        issuer_url=issuer_url,
        aws=aws or AwsSection(),
        external_storage=external_storage or ExternalStorageSection(),
        grpc=grpc or GrpcSection(listen="localhost:0"),
        http=http or HttpSection(listen="127.0.0.1:0"),
        issuer=issuer or IssuerSection(),
        journal=journal or JournalSection(),
        traces=traces or TracesSection(),
        scrub=scrub or ScrubSection(),
        alerts=alerts or AlertsSection(),
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="app")
    thread.start()
    try:
        starting = _start(lambda: build(config, files=files, read=read, others=others), watching=watching)
        app = asyncio.run_coroutine_threadsafe(starting, loop).result(_SECONDS)
        try:
            yield app
        finally:
            asyncio.run_coroutine_threadsafe(app.stop(), loop).result(_SECONDS)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(built: Callable[[], App], *, watching: bool) -> App:
    app = built()
    await app.start()
    if not watching:
        app.housekeeping.stop()
    return app
