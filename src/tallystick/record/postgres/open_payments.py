"""How many payments of one provider are open: what switching it off leaves behind."""

from __future__ import annotations

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
