"""Whether the database can serve this release: it answers, and its schema takes every statement."""

from __future__ import annotations

from typing import Final, Literal

import asyncpg

from tallystick.record.postgres import sql
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.subject_rows import subject_writes

#: A probe that waits longer than this has its answer.
PROBE_TIMEOUT_S: Final = 2

#: What an API process asks of the schema: its statements.
_STATEMENTS: Final = tuple(
    statement
    for file in ("reads.sql", "journal.sql", "inbox.sql", "outbound.sql", "refusals.sql")
    for statement in sql.load(file).values()
) + tuple(write.statement for write in subject_writes())

Readiness = Literal["ready", "other_schema", "away"]


class DatabaseReadiness:
    """Asks a pool of connections. That the schema fits is found out once: schemas only go forward."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._schema_fits = False

    async def check(self) -> Readiness:
        """The application's role may not read the list of revisions, so the statements are tried instead: prepared,
        and never run. Raises nothing for what the database does."""
        try:
            async with self._pool.acquire(timeout=PROBE_TIMEOUT_S) as connection:
                await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT_S)
                if not self._schema_fits:
                    for statement in _STATEMENTS:
                        await connection.prepare(statement, timeout=PROBE_TIMEOUT_S)
                    self._schema_fits = True
        except asyncpg.SyntaxOrAccessError:  # a table or column that is not there
            return "other_schema"
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return "away"
        return "ready"
