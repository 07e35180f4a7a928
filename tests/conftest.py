"""Fixtures that every suite shares: one real PostgreSQL for the session, a fresh merchant for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from tallystick.kit.ids import new_id
from tallystick.kit.logs import configure_logging
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.postgres.embedded.server import DATABASE, OWNER_ROLE, EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate
from tallystick.settings.load import secret_names
from tests.support.database import DEEP, Database, NewDatabase

# Derandomized: a run that fails here fails everywhere. The deep profile looks further, from new seeds each time.
_CHECKS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "default", max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=_CHECKS
)
settings.register_profile("deep", max_examples=2_000, database=None, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile("deep" if DEEP else "default")


configure_logging("error", secret_names(CONNECTOR_SETTINGS))


@pytest.fixture(scope="session")
def data_dir() -> Iterator[Path]:
    """A data directory with a short path: a Unix socket's name is at most 107 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def new_database(data_dir: Path) -> Iterator[NewDatabase]:
    """Makes databases with the schema, on one real PostgreSQL from the wheel."""
    with EmbeddedPostgres(data_dir) as postgres:
        template = postgres.urls()
        migrate(template.owner_url)
        numbers = count(1)

        def make() -> Database:
            name = f"test_{next(numbers)}"
            with psycopg.connect(postgres.superuser_url("postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} OWNER {OWNER_ROLE}")
            return Database(*(url.replace(f"/{DATABASE}?", f"/{name}?") for url in template))

        yield make


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """A database for one module: recovery works for every merchant there is, also for those of other tests."""
    return new_database()


@pytest.fixture
def fresh_merchant() -> str:
    """A merchant that no other test knows."""
    return "m" + new_id("ins")[-12:]
