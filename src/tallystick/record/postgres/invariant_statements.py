"""The statements behind the invariants."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("invariants.sql")

#: The longest time for one statement: one adds up a merchant's whole ledger.
STATEMENT_TIMEOUT_S: Final = 3_600.0


async def fetch_all(connection: asyncpg.Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """The rows of one of the statements."""
    return await connection.fetch(STATEMENTS[name], *values, timeout=STATEMENT_TIMEOUT_S)
