"""The statements behind the invariants."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import asyncpg

from tallystick.record.postgres import sql

STATEMENTS: Final = sql.load("invariants.sql")

#: The longest time for one statement: one adds up a merchant's whole ledger.
STATEMENT_TIMEOUT_S: Final = 3_600.0


async def fetch_all(connection: asyncpg.Connection, name: str, *values: Any) -> list[asyncpg.Record]:
    """The rows of one of the statements."""
    return await connection.fetch(STATEMENTS[name], *values, timeout=STATEMENT_TIMEOUT_S)


def as_list(values: Collection[str]) -> tuple[str, str]:
    """Values as one text and what stands between them, for ``string_to_array``: the driver looks at each element of an
    array several times. No value is empty."""
    between = "\n"
    while (text := between.join(values)).count(between) >= max(len(values), 1):
        between = chr(ord(between) + 1)  # some character is in none of them
    return text, between
