"""Fixtures that every suite shares: one real PostgreSQL for the session, a fresh merchant for each test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings

from tallystick.embedded import EmbeddedPostgres
from tallystick.ids import new_id
from tallystick.logs import configure_logging
from tallystick.migrations import migrate

DEEP = os.environ.get("TALLYSTICK_TEST_DEPTH") == "deep"

# Derandomized: a run that fails here fails everywhere. The deep profile looks further, from new seeds each time.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "default", max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=_CHECKS
)
settings.register_profile("deep", max_examples=2_000, database=None, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile("deep" if DEEP else "default")


configure_logging("error")


class Database(NamedTuple):
    """A migrated database: as its owner, who may break things by hand, and as the application."""

    owner_url: str
    app_url: str


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A data directory with a short path: a Unix socket's name is at most 107 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def database(data_dir: Path) -> Iterator[Database]:
    """Real PostgreSQL from the wheel, with the schema."""
    with EmbeddedPostgres(data_dir) as postgres:
        owner_url, app_url = postgres.urls()
        migrate(owner_url)
        yield Database(owner_url, app_url)


@pytest.fixture
def fresh_merchant() -> str:
    """A merchant that no other test knows."""
    return "m" + new_id("ins")[-12:]
