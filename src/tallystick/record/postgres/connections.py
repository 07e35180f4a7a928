"""Connections to the record, as the application role."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from tallystick.record.postgres.hosts import open_connection
from tallystick.record.postgres.migrate import APP_ROLE
from tallystick.settings.load import Settings

#: asyncpg prepares each statement once per connection; there are fewer than this.
STATEMENT_CACHE: Final = 128

#: Journal, intake and workers find their rows by key or in the order of an index. A plan made while a table was empty
#: would read all of it, and a connection keeps its plans for hours.
FIND_BY_KEY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

#: A database that takes longer for one of a probe's statements hangs.
PROBE_TIMEOUT_S: Final = 2.0

#: A server that has not let a connection in by then hangs. A long check may ask for minutes, but not to learn that.
OPEN_LIMIT_S: Final = 10.0

#: PostgreSQL's smallest memory of a statement: a result of some hundred kilobytes goes to the disk.
SPILL_EARLY: Final = {"work_mem": "64kB"}


async def connect(url: str, *, command_timeout_ms: int) -> asyncpg.Connection:
    """A connection for writing, as the application role, whatever role the URL logs in as. Opening it may take as long
    as a command, and no longer than OPEN_LIMIT_S."""
    return await open_connection(
        url,
        timeout=min(command_timeout_ms / 1000, OPEN_LIMIT_S),
        command_timeout=command_timeout_ms / 1000,
        statement_cache_size=STATEMENT_CACHE,
        server_settings={"role": APP_ROLE, "application_name": "tallystick", **FIND_BY_KEY},
    )


async def connect_probe(url: str) -> asyncpg.Connection:
    """A connection that asks whether the database can serve, so that no work of ours stands before the question."""
    return await open_connection(
        url,
        timeout=PROBE_TIMEOUT_S,
        command_timeout=PROBE_TIMEOUT_S,
        server_settings={"role": APP_ROLE, "application_name": "tallystick", **SPILL_EARLY},
    )


async def open_pool(url: str, settings: Settings, application_name: str = "tallystick") -> asyncpg.Pool:
    """The pool for reads, as the application role. ``application_name``: how others see its sessions."""
    return await asyncpg.create_pool(
        url,
        connect=_connect_pooled,
        min_size=1,
        max_size=settings.database_connections,
        timeout=settings.journal_commit_timeout_ms / 1000,
        command_timeout=settings.journal_commit_timeout_ms / 1000,
        statement_cache_size=STATEMENT_CACHE,
        server_settings={"role": APP_ROLE, "application_name": application_name, **FIND_BY_KEY},
    )


async def _connect_pooled(*arguments: Any, **options: Any) -> Any:
    """As a pool calls what makes its connections."""
    return await open_connection(*arguments, **options)
