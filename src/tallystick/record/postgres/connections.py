"""Connections to the record, as the application role."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncpg
import psycopg
from psycopg.conninfo import conninfo_to_dict

from tallystick.record.postgres.hosts import open_connection, open_on_hosts
from tallystick.record.postgres.migrate import APP_ROLE
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.settings.load import Settings

#: asyncpg prepares each statement once per connection; there are fewer than this.
STATEMENT_CACHE: Final = 128

#: Journal, intake and workers find their rows by key or in the order of an index. A plan made while a table was empty
#: would read all of it, and a connection keeps its plans for hours.
FIND_BY_KEY: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}

#: Below some ten rows a plan for the values looks cheaper than the one that is kept, so that every small batch would be
#: planned again. Not for reads: their values can ask for another index. Nor without ``KeptPlans``: where a table was
#: analyzed while it was empty, the plan that is kept reads all of an index.
KEEP_PLANS: Final = {"plan_cache_mode": "force_generic_plan"}

#: Each statement is planned again when it next runs.
FORGET_PLANS: Final = "DISCARD PLANS"

#: A connection's plans are at most this many batches old. To plan a batch's statements takes a millisecond or two.
OLDEST_PLAN_BATCHES: Final = 1_024

#: A database that takes longer for one of a probe's statements hangs.
PROBE_TIMEOUT_S: Final = 2.0

#: A server that has not let a connection in by then hangs. A long check may ask for minutes, but not to learn that.
OPEN_LIMIT_S: Final = 10.0

#: PostgreSQL's smallest memory of a statement: a result of some hundred kilobytes goes to the disk.
SPILL_EARLY: Final = {"work_mem": "64kB"}


class KeptPlans:
    """When a connection has to plan its statements again: after 1, 2, 4, … batches, while its tables may grow from
    nothing, and then after every ``OLDEST_PLAN_BATCHES``."""

    __slots__ = ("_age", "_limit")

    def __init__(self) -> None:
        self._age, self._limit = 0, 1

    def are_old(self) -> bool:
        """Asked before each batch. Where they are, the connection runs ``FORGET_PLANS`` first."""
        if self._age < self._limit:
            self._age += 1
            return False
        self._age, self._limit = 1, min(self._limit * 2, OLDEST_PLAN_BATCHES)
        return True


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


async def connect_journal(url: str, *, command_timeout_ms: int) -> PipelineConnection:
    """As ``connect``, for the same few statements, thousands of times, and many at once: see ``KeptPlans`` and
    ``PipelineConnection``."""
    timeout_s = min(command_timeout_ms / 1000, OPEN_LIMIT_S)
    settings = {"role": APP_ROLE, **FIND_BY_KEY, **KEEP_PLANS}
    given = str(conninfo_to_dict(url).get("options") or "")
    options = " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())])

    async def attempt(**target: Any) -> PipelineConnection:
        connection = await psycopg.AsyncConnection.connect(
            url, autocommit=True, application_name="tallystick", options=options, **target
        )
        return PipelineConnection(connection, command_timeout_ms)

    try:
        async with asyncio.timeout(timeout_s):
            return await open_on_hosts(url, attempt, timeout=timeout_s)
    except psycopg.OperationalError as error:
        # libpq does not give the server's reason as a code, and asyncpg does.
        await (await connect(url, command_timeout_ms=command_timeout_ms)).close()
        raise ConnectionError(str(error)) from error


async def connect_probe(url: str) -> asyncpg.Connection:
    """A connection that asks whether the database can serve, so that no work of ours stands before the question."""
    return await open_connection(
        url,
        timeout=PROBE_TIMEOUT_S,
        command_timeout=PROBE_TIMEOUT_S,
        server_settings={"role": APP_ROLE, "application_name": "tallystick", **SPILL_EARLY},
    )


async def open_pool(url: str, settings: Settings, application_name: str = "tallystick") -> asyncpg.Pool:
    """The pool for reads, as the application role. ``application_name``: how others see its sessions. Whoever changes a
    session changes it for a transaction alone (``SET LOCAL``): see ``_given_back``."""
    return await asyncpg.create_pool(
        url,
        connect=_connect_pooled,
        reset=_given_back,
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


async def _given_back(_: Any) -> None:
    """A connection goes back to its pool as it is. asyncpg would send RESET ALL and more, a round trip for every
    statement; a session has nothing to be reset (decision 0203). A transaction that is still open was rolled back
    before."""
