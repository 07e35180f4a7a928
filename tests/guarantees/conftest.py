"""What several guarantees share."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.database import Database
from tests.support.demonstration import demonstration

__all__ = ["demonstration"]


@pytest.fixture(scope="module")
def own_url(database: Database) -> str:
    """A module's own database, as the application: recovery works for every merchant there is, and suites count its
    steps. Processes die here, machines do not: waiting for the disk would show nothing and take most of the time."""
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET synchronous_commit = off')
    return database.app_url
