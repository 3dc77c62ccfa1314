"""Narrow searches of an External Audit Storage, beside the same searches of the embedded one over the same files.

1,000,000 events in 1,000 objects, once in a folder and once in a bucket of the AWS sandbox; both searches are the use
case in this process, in turns. Warm, everything that is read is in the cache, and the looks at the dates are fresh: the
target is twice the embedded one's time. Cold, requests are counted: at most one listing for each date and one get for
each object that the plan chose, and beside them a get for each batch record that a row's receipt is in.
`python -m benchmarks.external_search` prints a JSON line each; times are medians in ms.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.search import CASES, LIMIT, Case
from benchmarks.stored_storage import StoredStorage, write_storage
from server.audit_log.foreign_looks import ForeignLooks
from server.audit_log.search.query import SearchQuery
from server.audit_log.search.search import Search
from server.audit_log.search.tokens import PageTokens
from server.storage.query import Filters
from tests.contract.bucket_rig import BUCKET, in_bucket, versioned_bucket
from tests.contract.search_rig import ALICE, TOKEN_KEY, SearchRig, duck_engine
from tests.sandbox.running import Sandbox, running_sandbox

ROUNDS = 60
PREFIX = "events"
NARROW = CASES[0]
USER = CASES[1]


def query_of(case: Case, to_ms: int | None = None) -> SearchQuery:
    """The case as a query, with an end of its own where one is given."""
    types, users = (frozenset(case.filters.get(name, ())) for name in ("types", "users"))
    return SearchQuery(Filters(case.from_ms, to_ms or case.to_ms, types, users), page_size=LIMIT)


def upload(sandbox: Sandbox, folder: Path) -> None:
    """Put the files into the bucket."""
    client = sandbox.client("s3")

    def put(path: Path) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{path.relative_to(folder)}", Body=path.read_bytes())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(put, [path for path in folder.rglob("*") if path.is_file()]))


def searching(rig: SearchRig) -> Callable[[SearchQuery], int]:
    """A search as the service makes it, its looks at dates as fresh as there; gives how many rows it found."""
    looks = ForeignLooks(rig.storages, rig.catalogue, rig.log.tail.pending)
    tokens = PageTokens(TOKEN_KEY)
    search = Search(rig.storages, rig.engine, rig.log.tail, rig.catalogue, tokens, foreign=looks)

    def page(query: SearchQuery) -> int:
        found = search.page(ALICE, query, time.monotonic() + 60)
        assert found.complete
        return len(found.rows)

    return page


@contextmanager
def both(folder: Path, sandbox: Sandbox) -> Iterator[tuple[SearchRig, SearchRig, StoredStorage]]:
    """A log over the folder, and one over the bucket, whose cache is empty."""
    stored = write_storage(folder / "data")
    upload(sandbox, stored.folder)
    engine = duck_engine(folder)
    embedded = SearchRig(folder / "data", engine)
    external = SearchRig(folder / "external", engine, open_default=in_bucket(sandbox, PREFIX))
    try:
        yield embedded, external, stored
    finally:
        embedded.close()
        external.close()
        engine.close()


def cold_line(
    sandbox: Sandbox, page: Callable[[SearchQuery], int], stored: StoredStorage, case: Case, to_ms: int
) -> dict[str, object]:
    """The requests of a search over what isn't in the cache."""
    planned = stored.paths(case.from_ms, to_ms, case.types)
    dates = {Path(path).parent.name for path in planned}
    sandbox.clear_calls()
    started = time.perf_counter()
    rows = page(query_of(case, to_ms))
    seconds = time.perf_counter() - started
    calls = sandbox.calls()
    records = sum("/_batches/" in call.resource for call in calls)
    asked = Counter(call.action for call in calls)
    gets = asked["s3:GetObject"] - records
    return {
        "name": f"cold external search, {case.name.replace('10 days', '1 day')}",
        "rows": rows,
        "ours_ms": round(seconds * 1000, 1),
        "dates": len(dates),
        "listings": asked["s3:ListBucketVersions"],
        "planned_objects": len(planned),
        "gets_of_objects": gets,
        "gets_of_records": records,
        "target": "<= 1 listing for each date, 1 get for each planned object",
        "met": asked["s3:ListBucketVersions"] <= len(dates) and gets <= len(planned) and sum(asked.values()) - records
        == asked["s3:ListBucketVersions"] + gets,
    }  # fmt: skip


def warm_line(
    external: Callable[[SearchQuery], int], embedded: Callable[[SearchQuery], int], case: Case, to_ms: int
) -> dict[str, object]:
    """The medians of both, in turns."""
    query = query_of(case, to_ms)
    rows = embedded(query)
    for _ in range(5):
        assert external(query) == embedded(query) == rows

    def timed(page: Callable[[SearchQuery], int]) -> float:
        started = time.perf_counter()
        assert page(query) == rows
        return (time.perf_counter() - started) * 1000

    times = [(timed(external), timed(embedded)) for _ in range(ROUNDS)]
    ours, floor = (statistics.median(column) for column in zip(*times, strict=True))
    return {
        "name": f"warm external search, {case.name.replace('10 days', '1 day')}",
        "rows": rows,
        "ours_ms": round(ours, 2),
        "floor_embedded_ms": round(floor, 2),
        "target": "<= 2 x the embedded storage",
        "met": ours <= 2 * floor,
    }


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, running_sandbox() as sandbox:
        versioned_bucket(sandbox)
        with both(Path(name), sandbox) as (embedded, external, stored):
            ours, floor = searching(external), searching(embedded)
            for case, to_ms in ((NARROW, NARROW.to_ms), (USER, USER.from_ms + 86_400_000)):
                print(json.dumps(cold_line(sandbox, ours, stored, case, to_ms)), flush=True)
                print(json.dumps(warm_line(ours, floor, case, to_ms)), flush=True)


if __name__ == "__main__":
    main()
