"""Every query that is asked of Athena is one by Trino's grammar, which Athena's is.

It needs npm, which fetches the grammar; where there is none the test says so and is skipped. Which functions Athena
has, and which types they take, no grammar says.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from subprocess import DEVNULL

import pytest

from server.storage.aws.athena.statements import TableName, statement
from server.storage.finding import FinderUnsuited, FindRequest
from server.storage.query import FieldEquality, Filters, Order
from tests.contract.test_athena_oracle import some_filters
from tests.sandbox.athena_sql import with_parameters

FILES = Path(__file__).parent / "trino_grammar"
QUERIES = 50
ASKED = FindRequest(Filters(), "2026-01-01", "2026-01-31", Order.NEWEST_FIRST, "alice")
Check = Callable[[list[str]], list[str | None]]


@pytest.fixture(scope="module")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("no npm here, so no query was held against Trino's grammar")
    folder = tmp_path_factory.mktemp("grammar")
    for name in ("package.json", "package-lock.json", "check.mjs", "resolving.mjs"):
        shutil.copy(FILES / name, folder)
    quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--fetch-retries=0"]
    can_resolve = "process.exit(require('module').register ? 0 : 1)"
    try:
        subprocess.run([node, "--eval", can_resolve], stderr=DEVNULL, timeout=40, check=True)
        subprocess.run([npm, "ci", *quiet], cwd=folder, stdout=DEVNULL, stderr=DEVNULL, timeout=40, check=True)
    except subprocess.SubprocessError:
        pytest.skip("node is too old, or npm can't fetch Trino's grammar, so no query was held against it")

    def told(queries: list[str]) -> list[str | None]:
        asked = json.dumps(queries)
        answer = subprocess.run(
            [node, "check.mjs"], cwd=folder, input=asked, capture_output=True, text=True, check=True
        )
        found: list[str | None] = json.loads(answer.stdout)
        return found

    return told


def queries() -> list[str]:
    """Queries with each kind of filter and condition, as they are sent and with their parameters in place."""
    chance = random.Random(3)
    floats = Filters(fields=(FieldEquality(("a",), 1.5),))
    found = []
    for filters in [floats, *(some_filters(chance) for _ in range(QUERIES))]:
        after = chance.choice([None, (7, "2026-01-02/x.parquet")])
        asked = replace(ASKED, filters=filters, order=chance.choice(list(Order)), after=after)
        try:
            clause = statement(TableName("db", "events"), asked, "s3://b/e/")
        except FinderUnsuited:
            continue
        found += [clause.sql, with_parameters(clause.sql, list(clause.parameters))]
    return found


def test_every_query_is_one_by_trinos_grammar(check: Check) -> None:
    asked = queries()
    told = check([*asked, "SELECT uid::bigint FROM events", "SELECT 'a"])
    assert all(told[-2:]), "the grammar refuses what isn't Trino's"
    assert [(sql, words) for sql, words in zip(asked, told[:-2], strict=True) if words] == []
    assert len(asked) > QUERIES
