"""The ceiling of reconciliation: what PostgreSQL takes to read the files with COPY, and to join them once with the
record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import asyncpg
import psycopg

from tallystick.domain.ledger.accounts import provider_account
from tallystick.lab.bench.settlement_rows import COLUMNS
from tallystick.lab.bench.workload import PROVIDER

#: What COPY may take.
_LONG_S: Final = 900.0

_CEILING: Final = f"""
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.settled, bench.settlement_line;
CREATE TABLE bench.settlement_line ({", ".join(f"{name} text" for name in COLUMNS)})
"""

_JOIN: Final = """
CREATE TABLE bench.settled AS
SELECT l.balance_transaction_id, l.gross, l.fee, t.merchant_id, t.stream_id, t.subject_id, t.version, t.leg, t.amount
FROM bench.settlement_line l
JOIN payment p ON p.provider_reference = l.payment_intent_id
JOIN transfer t ON t.merchant_id = p.merchant_id AND t.stream_id = p.payment_id AND t.debit = %s
"""


def ceiling(owner_url: str, paths: Sequence[str]) -> tuple[float, float]:
    """Seconds for COPY, and for the join."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for statement in _CEILING.split(";"):
            connection.execute(statement.encode())
        started = time.monotonic()
        for path in paths:
            asyncio.run(_copied(owner_url, path))
        copied_at = time.monotonic()
        ledger = provider_account(PROVIDER)
        connection.execute("SET work_mem = '64MB'")
        connection.execute(_JOIN.replace("%s", f"'{ledger}'").encode())
        joined_at = time.monotonic()
        connection.execute("DROP TABLE bench.settled, bench.settlement_line")
    return copied_at - started, joined_at - copied_at


async def _copied(owner_url: str, path: str) -> None:
    connection = await asyncpg.connect(owner_url)
    try:
        with Path(path).open("rb") as source:
            await connection.copy_to_table(
                "settlement_line", schema_name="bench", source=source, format="csv", header=True, timeout=_LONG_S
            )
    finally:
        await connection.close()
