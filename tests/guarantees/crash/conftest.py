"""The database of these suites: recovery works for every merchant there is, and they count its steps."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.database import Database


@pytest.fixture(scope="module")
def own_url(database: Database) -> str:
    """As the application. Processes die here, machines do not: waiting for the disk would show nothing and take most
    of the time."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET synchronous_commit = off')
    return database.app_url
