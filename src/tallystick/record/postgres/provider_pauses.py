"""Accounts of providers that take no calls for a while, as all processes know them. On the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("provider_pauses.sql")

#: What is left of a pause without an end, as a process heeds it until it reads it again a second later: longer than any
#: process is without its database and still makes calls.
WITHOUT_END_MS: Final = 600_000


class OperatorPause(Struct, frozen=True, kw_only=True):
    """An account that an operator paused. ``until`` None: until it is resumed."""

    provider: str
    account: str
    actor: str
    changed_at: datetime
    until: datetime | None
    left_ms: int


async def keep_pause(pool: asyncpg.Pool, provider: str, account: str, left_ms: int) -> None:
    """Keep that the account takes no calls for so long. Raises what asyncpg raises."""
    await pool.execute(_STATEMENTS["keep_pause"], provider, account, left_ms)


async def read_pauses(pool: asyncpg.Pool, within_s: float) -> dict[tuple[str, str], int]:
    """What is left of each wait that is not over, in ms, by provider and account. Raises TimeoutError, and what asyncpg
    raises."""
    async with asyncio.timeout(within_s):
        return {(row[0], row[1]): int(row[2]) for row in await pool.fetch(_STATEMENTS["pauses"])}


async def read_operator_pauses(pool: asyncpg.Pool, within_s: float) -> list[OperatorPause]:
    """What operators paused, and is not over. Raises TimeoutError, and what asyncpg raises."""
    async with asyncio.timeout(within_s):
        return structs_of(await pool.fetch(_STATEMENTS["operator_pauses"], WITHOUT_END_MS), OperatorPause)


async def set_operator_pause(
    pool: asyncpg.Pool,
    provider: str,
    account: str,
    actor: str,
    *,
    paused: bool,
    for_ms: int | None,
    act_until: Callable[[datetime | None], OperatorAct],
) -> OperatorAct:
    """Pause or resume an account, together with the record of who did it. ``act_until`` makes that of when the pause
    ends, by the database's clock; None: when it is resumed. Raises what asyncpg raises: UniqueViolationError where the
    act's key is taken."""
    async with pool.acquire() as connection, connection.transaction():
        until = await connection.fetchval(_STATEMENTS["set_pause"], provider, account, paused, for_ms, actor)
        act = act_until(until)
        await insert_act(connection, act)
    return act
