"""Accounts of providers that take no calls for a while, as all processes know them. On the database's clock."""

from __future__ import annotations

import asyncio
from typing import Final

import asyncpg

from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("provider_pauses.sql")


async def keep_pause(pool: asyncpg.Pool, provider: str, account: str, left_ms: int) -> None:
    """Keep that the account takes no calls for so long. Raises what asyncpg raises."""
    await pool.execute(_STATEMENTS["keep_pause"], provider, account, left_ms)


async def read_pauses(pool: asyncpg.Pool, within_s: float) -> dict[tuple[str, str], int]:
    """What is left of each wait that is not over, in ms, by provider and account. Raises TimeoutError, and what asyncpg
    raises."""
    async with asyncio.timeout(within_s):
        return {(row[0], row[1]): int(row[2]) for row in await pool.fetch(_STATEMENTS["pauses"])}
