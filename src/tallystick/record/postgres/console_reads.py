"""What the console shows of merchants, and no other room reads so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("console.sql")


class ShownKey(Struct, frozen=True, kw_only=True):
    """An API key without its secret. ``scopes`` None: all."""

    key_id: str
    created_at: datetime
    revoked_at: datetime | None
    kind: str | None
    scopes: list[str] | None
    operator: bool
    api_version: str | None


class Holder(Struct, frozen=True, kw_only=True):
    """What a merchant's part of an account holds, in minor units."""

    merchant_id: str
    debits: int
    credits: int
    net: int


class FirstSteps(Struct, frozen=True, kw_only=True):
    """What a new platform has already: two operators, a merchant with a key, an endpoint for messages, a payment."""

    operators: bool
    keys: bool
    endpoints: bool
    payments: bool


async def first_steps(pool: asyncpg.Pool) -> FirstSteps:
    """Whether each was taken. Raises what asyncpg raises."""
    return structs_of(await pool.fetch(STATEMENTS["first_steps"]), FirstSteps)[0]


async def keys_of(pool: asyncpg.Pool, merchant_id: str) -> Sequence[ShownKey]:
    """The oldest first. Raises what asyncpg raises."""
    return structs_of(await pool.fetch(STATEMENTS["keys"], merchant_id), ShownKey)


async def holders_of(pool: asyncpg.Pool, account: str, currency: str, limit: int) -> Sequence[Holder]:
    """Reads all balances, as ``clearing_balances`` does. Raises what asyncpg raises."""
    async with pool.acquire() as connection, connection.transaction(readonly=True):
        # Of all rows of a table it is the one good plan, and connections plan without it.
        await connection.execute("SET LOCAL enable_seqscan = on")
        return structs_of(await connection.fetch(STATEMENTS["holders"], account, currency, limit), Holder)
