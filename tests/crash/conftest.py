"""A database of their own: recovery works for every merchant there is, and these suites count its steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tallystick.embedded import OWNER_ROLE, EmbeddedPostgres
from tallystick.migrations import migrate
from tests.conftest import Database


@pytest.fixture(scope="module")
def own_url(database: Database, data_dir: Path) -> Iterator[str]:
    """As the application, in a new database with the schema."""
    name = "own"
    with psycopg.connect(EmbeddedPostgres(data_dir).superuser_url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
        # Processes die here, machines do not: waiting for the disk would show nothing and take most of the time.
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    owner_url, app_url = (_in_database(url, name) for url in database)
    migrate(owner_url)
    yield app_url


def _in_database(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    return f"{head.rpartition('/')[0]}/{name}?{query}"
