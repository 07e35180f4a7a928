"""Whether the database can serve this release: it answers, and its schema accepts every statement."""

from __future__ import annotations

from typing import Final, Literal, assert_never

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from tallystick.record.postgres import sql
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.subject_rows import subject_writes
from tallystick.record.sealing import Sealer

#: A database that takes longer to answer is not ready.
PROBE_TIMEOUT_S: Final = 2

#: The statements of an API process.
_STATEMENTS: Final = tuple(
    statement
    for file in ("reads.sql", "journal.sql", "inbox.sql", "outbound.sql", "refusals.sql", "sealing.sql")
    for statement in sql.load(file).values()
) + tuple(write.statement for write in subject_writes())

Readiness = Literal["ready", "other_schema", "away"]


async def prepare_every_statement(connection: asyncpg.Connection | PoolConnectionProxy) -> None:
    """Prepare what an API process runs, and run none of it. Raises asyncpg.SyntaxOrAccessError where the schema has
    another form than this release needs, and what else asyncpg raises."""
    for statement in _STATEMENTS:
        await connection.prepare(statement, timeout=PROBE_TIMEOUT_S)


class DatabaseReadiness:
    """Checks over a pool of connections. A fitting schema is checked once: schemas only go forward."""

    def __init__(self, pool: asyncpg.Pool, sealer: Sealer) -> None:
        self._pool = pool
        self._sealer = sealer
        self._schema_fits = False

    async def check(self) -> Readiness:
        """The application's role may not read the list of revisions, so the statements are prepared instead, and
        never run. Errors of the database are a result, and never raised."""
        try:
            async with self._pool.acquire(timeout=PROBE_TIMEOUT_S) as connection:
                await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT_S)
                if not self._schema_fits:
                    await prepare_every_statement(connection)
                    self._schema_fits = True
        except asyncpg.SyntaxOrAccessError:  # a missing table or column
            return "other_schema"
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return "away"
        return "ready"

    async def reason_not_ready(self) -> str | None:
        """What a person is told; None where the database can serve, and the keys here are those of the record."""
        match readiness := await self.check():
            case "ready":
                return self._sealer.refused
            case "other_schema":
                return "The database has another schema; migrate it."
            case "away":
                return "The database does not answer."
            case _:
                assert_never(readiness)
