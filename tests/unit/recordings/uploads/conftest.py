"""What tests of uploads begin with: a state database, and a service whose recordings go to S3."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from server.state.database import open_database
from tests.memory_s3 import CloudedFiles
from tests.uploads_under_test import S3UploadsUnderTest


@pytest.fixture
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_database(tmp_path_factory.mktemp("state") / "state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def service(engine: Engine) -> S3UploadsUnderTest:
    return S3UploadsUnderTest(CloudedFiles(), engine)
