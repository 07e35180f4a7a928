"""The sample merchant and a connection, for all tests of the invariants."""

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
    """One for all tests here, which share one sample."""
    return new_database()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sample(database: Database) -> Sample:
    """One merchant's payments for all tests: whoever breaks something rolls it back."""
    return await make_sample(database.app_url, "m" + new_letters())


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """As ``tallystick verify`` connects: the application's role."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    yield connection
    await connection.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The owner's one connection, who breaks things: a new one would plan every statement of the invariants anew."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()
