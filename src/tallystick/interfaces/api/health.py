"""Is the process up, and can it serve: the two questions that a supervisor and a load balancer ask."""

from __future__ import annotations

from typing import Final

import asyncpg

from tallystick.domain.views import encode
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.bodies import Health
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import busy
from tallystick.record.postgres import sql
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.subject_rows import subject_writes

#: A probe that waits longer than this has its answer.
PROBE_TIMEOUT_S: Final = 2

#: What this process asks of the schema, beside the schema's own word: its statements.
_STATEMENTS: Final = tuple(
    statement
    for file in ("reads.sql", "journal.sql", "inbox.sql", "outbound.sql", "refusals.sql")
    for statement in sql.load(file).values()
) + tuple(write.statement for write in subject_writes())


async def healthz(_: Runtime, exchange: ApiRequest) -> HttpResponse:
    """200: the process answers."""
    return HttpResponse(200, encode(Health(status="ok")), headers=tuple(exchange.answer_headers))


class Readiness:
    """Whether the process can serve. That the schema fits is found out once: schemas only go forward."""

    def __init__(self) -> None:
        self._schema_fits = False

    async def readyz(self, runtime: Runtime, exchange: ApiRequest) -> HttpResponse:
        """200 when the database answers and its schema takes every statement of this release. Raises Refused.

        The application's role may not read the list of revisions, so the statements are tried instead: prepared, and
        never run.
        """
        try:
            async with runtime.pool.acquire(timeout=PROBE_TIMEOUT_S) as connection:
                await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT_S)
                if not self._schema_fits:
                    for statement in _STATEMENTS:
                        await connection.prepare(statement, timeout=PROBE_TIMEOUT_S)
                    self._schema_fits = True
        except asyncpg.SyntaxOrAccessError:  # a table or column that is not there
            raise busy("not_ready", "The database has another schema; migrate it.", exchange.request_id) from None
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            raise busy("not_ready", "The database does not answer.", exchange.request_id) from None
        return HttpResponse(200, encode(Health(status="ready")), headers=tuple(exchange.answer_headers))
