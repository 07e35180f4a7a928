"""How many payments of a provider are open: what switching it off, or leaving it out of the settings, leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("open_payments.sql")

#: States in which something is still to come.
_OPEN: Final = [state for state in PAYMENT.states if state not in PAYMENT.final]


async def count_open_payments(connection: asyncpg.Connection | asyncpg.Pool, provider: str) -> int:
    """The payments of a provider that are not final, or have a call without an outcome. Raises what asyncpg raises."""
    return int(await connection.fetchval(_STATEMENTS["open_payments"], provider, _OPEN))


async def open_payments_elsewhere(
    connection: asyncpg.Connection | asyncpg.Pool, accounts: Mapping[str, str]
) -> list[tuple[str, str, int]]:
    """(provider, account, open payments) of every account that is not among ``accounts`` (by provider). Raises what
    asyncpg raises."""
    return [
        (record["provider"], record["account"], record["payments"])
        for record in await connection.fetch(_STATEMENTS["open_by_account"], _OPEN)
        if accounts.get(record["provider"]) != record["account"]
    ]
