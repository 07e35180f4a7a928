"""One real PostgreSQL for all suites, and how deep they look."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

DEEP = os.environ.get("TALLYSTICK_TEST_DEPTH") == "deep"


class Database(NamedTuple):
    """A migrated database: as its owner, who may break things by hand, and as the application."""

    owner_url: str
    app_url: str


NewDatabase = Callable[[], Database]


@asynccontextmanager
async def closed_to_all(database: Database) -> AsyncIterator[None]:
    """No session in it, and no new one."""
    import asyncpg

    name = urlsplit(database.owner_url).path.removeprefix("/")
    owner = await asyncpg.connect(database.owner_url.replace(f"/{name}?", "/postgres?"))
    try:
        await owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
        await owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await owner.close()
