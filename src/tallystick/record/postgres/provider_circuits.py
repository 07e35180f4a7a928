"""What each process says of its circuits to the accounts of providers. On the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("provider_circuits.sql")

#: Processes tell every ten seconds at the latest: one that has not told for this long is gone.
GONE_AFTER_MS: Final = 30_000


class ToldCircuit(Struct, frozen=True, kw_only=True):
    """One account's circuit in one process. ``for_ms``: how long it has been closed, or not closed."""

    provider: str
    account: str
    state: Literal["closed", "open", "half_open"]
    for_ms: int


class AccountCircuits(Struct, frozen=True, kw_only=True):
    """One account's circuits in all ``processes``. ``open`` and ``half_open``: in how many it is; in the others it is
    closed. ``since``: the first of these that is not closed is so since then, or else the last one is closed since
    then. ``age_ms``: how long ago the oldest of these reports was made."""

    provider: str
    account: str
    processes: int
    open: int
    half_open: int
    since: datetime
    age_ms: int


async def tell_circuits(pool: asyncpg.Pool, process_id: str, told: Sequence[ToldCircuit], within_s: float) -> None:
    """Keep what a process says, and forget processes that are gone. Raises TimeoutError, and what asyncpg raises."""
    columns = [[getattr(each, name) for each in told] for name in ToldCircuit.__struct_fields__]
    async with asyncio.timeout(within_s):
        await pool.execute(_STATEMENTS["tell_circuits"], process_id, *columns)
        await pool.execute(_STATEMENTS["forget_circuits"], GONE_AFTER_MS)


async def leave_circuits(pool: asyncpg.Pool, process_id: str, within_s: float) -> None:
    """Forget what a process said. Raises TimeoutError, and what asyncpg raises."""
    async with asyncio.timeout(within_s):
        await pool.execute(_STATEMENTS["leave_circuits"], process_id)


async def read_circuits(pool: asyncpg.Pool, within_s: float) -> list[AccountCircuits]:
    """Of each account what the processes say that run, by provider and account. Raises TimeoutError, and what asyncpg
    raises."""
    async with asyncio.timeout(within_s):
        return structs_of(await pool.fetch(_STATEMENTS["circuits"], GONE_AFTER_MS), AccountCircuits)
