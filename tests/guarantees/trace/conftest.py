"""The demonstration with faults, for all tests here: its record, and the books of the test acquirer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

from tallystick.record.postgres.connections import FIND_BY_KEY
from tests.support.demonstrated import Demonstrated, books_in
from tests.support.demonstration import Demonstration


@pytest.fixture(scope="session")
def demonstrated(demonstration: Demonstration) -> Demonstrated:
    """The record, open, and the acquirer's books by payment."""
    return Demonstrated(demonstration.postgres.urls(), demonstration.said, books_in(demonstration.books))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(demonstrated: Demonstrated) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection, who breaks things and rolls back."""
    connection = await asyncpg.connect(demonstrated.urls.owner_url, server_settings=FIND_BY_KEY)
    yield connection
    await connection.close()
