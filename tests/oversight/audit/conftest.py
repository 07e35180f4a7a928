"""One sealed sample for all tests here: whoever breaks something rolls it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from tallystick.access.key_store import create_key
from tallystick.oversight.audit.anchors import Anchor, read_anchors
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, copy_heads, seal_all
from tests.support.database import Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, Client, runtime_of
from tests.support.sample import Sample, make_sample


@pytest.fixture(scope="session")
def database(new_database: NewDatabase) -> Database:
    """One for all tests here."""
    return new_database()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sample(database: Database) -> Sample:
    """One merchant's payments; beside it another merchant's, and a key."""
    sample = await make_sample(database.app_url, "m" + new_letters())
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await Client(runtime, "n" + new_letters()).create("other")
    await create_key(database.app_url, sample.merchant)
    return sample


@pytest.fixture(scope="session")
def heads_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where heads are copied to."""
    return tmp_path_factory.mktemp("heads")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def anchors(database: Database, sample: Sample, heads_directory: Path) -> list[Anchor]:
    """The sample is sealed, and its heads are outside."""
    async with await open_pool(database.app_url, SETTINGS) as pool:
        await seal_all(pool)
        await copy_heads(pool, heads_directory)
    return read_anchors(heads_directory)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(database: Database, anchors: list[Anchor]) -> AsyncIterator[asyncpg.Connection]:
    """The database's owner, who may change everything."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()
