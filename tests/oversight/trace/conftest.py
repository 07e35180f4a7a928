"""The sample merchant, whose payments are explained."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tallystick.record.postgres.connections import connect
from tests.support.database import Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.sample import Sample, make_sample


@pytest.fixture(scope="session")
def database(new_database: NewDatabase) -> Database:
    return new_database()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sample(database: Database) -> Sample:
    return await make_sample(database.app_url, "m" + new_letters())


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    yield connection
    await connection.close()
