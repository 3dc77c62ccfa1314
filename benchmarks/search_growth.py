"""The narrow search of 10,000,000 events beside the same search of 1,000,000: what it costs that there are more.

Two servers, each with its storage, are asked in turn; the hour that is searched holds the same events in both.
`python -m benchmarks.search_growth` prints a JSON line; times are medians in ms, warm. Writing the larger storage takes
some minutes and 2 GB.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.emit import our_server, settle
from benchmarks.search import CASES, LIMIT, OurSearches, timed
from benchmarks.stored_storage import SPAN_EVENTS, write_storage

SPANS = int(os.environ.get("BENCH_SPANS", "10"))
ROUNDS = 100
WARM_UP = 5


def main() -> None:
    """Print the figure."""
    narrow = CASES[0]
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, ExitStack() as servers:
        os.umask(0o077)
        searches = []
        for spans in (1, SPANS):
            folder = Path(name) / str(spans)
            write_storage(folder / "data", spans)
            ready = servers.enter_context(our_server(folder))
            searches.append(OurSearches(ready))
            searches[-1].page(narrow, 1)
            settle(ready)
        rows = len(searches[0].page(narrow, LIMIT).events)

        def once(of: OurSearches) -> float:
            return timed(lambda: len(of.page(narrow, LIMIT).events), rows)

        for _ in range(WARM_UP):
            [once(each) for each in searches]
        times = [[once(each) for each in searches] for _ in range(ROUNDS)]
    small_ms, large_ms = (statistics.median(column) for column in zip(*times, strict=True))
    line = {
        "name": f"narrow search of {SPANS * SPAN_EVENTS:,} events",
        "rows": rows,
        "ours_ms": round(large_ms, 2),
        "of_1_000_000_ms": round(small_ms, 2),
        "ratio": round(large_ms / small_ms, 2),
        "target": "<= 1.5 x that of 1,000,000",
        "met": large_ms <= 1.5 * small_ms,
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
