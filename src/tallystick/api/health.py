"""Is the process up, and can it serve: the two questions that a supervisor and a load balancer ask."""

from __future__ import annotations

from typing import Final

import asyncpg

from tallystick.api.bodies import Health
from tallystick.api.exchange import Answer, Exchange
from tallystick.api.problems import DATABASE_AWAY, busy
from tallystick.core import Core
from tallystick.migrations import NEWEST_REVISION
from tallystick.views import encode

#: A probe that waits longer than this has its answer.
PROBE_TIMEOUT_S: Final = 2

_REVISION: Final = "SELECT EXISTS (SELECT 1 FROM _yoyo_migration WHERE migration_id = $1)"


async def healthz(_: Core, exchange: Exchange) -> Answer:
    """200: the process answers."""
    return Answer(200, encode(Health(status="ok")), headers=tuple(exchange.answer_headers))


async def readyz(core: Core, exchange: Exchange) -> Answer:
    """200 when the database answers and has this release's schema. Raises Refused otherwise."""
    try:
        migrated = await core.pool.fetchval(_REVISION, NEWEST_REVISION, timeout=PROBE_TIMEOUT_S)
    except (*DATABASE_AWAY, asyncpg.PostgresError):
        raise busy("not_ready", "The database does not answer.", exchange.request_id) from None
    if not migrated:
        raise busy("not_ready", "The database has not this release's schema; migrate it.", exchange.request_id)
    return Answer(200, encode(Health(status="ready")), headers=tuple(exchange.answer_headers))
