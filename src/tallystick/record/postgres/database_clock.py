"""The database's clock, which leases, deadlines and ages are on."""

from __future__ import annotations

from datetime import datetime

import asyncpg


async def database_time(pool: asyncpg.Pool, timeout_s: float) -> datetime:
    """The time there, at the moment of asking. Raises what asyncpg raises."""
    moment: datetime = await pool.fetchval("SELECT clock_timestamp()", timeout=timeout_s)
    return moment
