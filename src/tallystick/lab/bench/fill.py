"""Fill a database with millions of final payments: several processes, a chunk per transaction, resumable."""

from __future__ import annotations

import asyncio
import io
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from decimal import Decimal
from typing import Final

import asyncpg
import psycopg
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.fill_rows import MERCHANTS, TABLES, columns, fill_chunk, kinds
from tallystick.record.postgres.subject_rows import STATEMENTS

#: Payments in one transaction: about a second of work, and what is lost when it is interrupted.
CHUNK_PAYMENTS: Final = 10_000

#: What is filled in is noted in the same transaction, outside the platform's own schema.
PROGRESS_TABLE: Final = """
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE IF NOT EXISTS bench.filled_chunk (chunk integer PRIMARY KEY, payments integer NOT NULL)
"""

Announce = Callable[[str, int, int], None]


class Filled(Struct, frozen=True, kw_only=True):
    """What a fill did. ``payments``: filled in by it; ``present``: filled in altogether."""

    payments: int
    present: int
    elapsed_s: float
    per_s: float
    database_gb: float


def fill(owner_url: str, app_url: str, payments: int, announce: Announce) -> Filled:
    """Fill up to ``payments`` final payments, rounded up to whole chunks; what is there already is left alone. Raises
    what the database raises."""
    done = prepare(owner_url, app_url)
    wanted = -(-payments // CHUNK_PAYMENTS)
    missing = [chunk for chunk in range(wanted) if chunk not in done]
    started = time.monotonic()
    present = len(done) * CHUNK_PAYMENTS
    total = present + len(missing) * CHUNK_PAYMENTS
    announce("payments", present, total)
    # Spawned: a forked child would share this process's connections and threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1, mp_context=context) as workers:
        running = [workers.submit(_fill_one, owner_url, chunk) for chunk in missing]
        try:
            for finished in as_completed(running):
                finished.result()
                present += CHUNK_PAYMENTS
                announce("payments", present, total)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise
    elapsed_s = time.monotonic() - started
    _tidy(owner_url, announce)
    filled = len(missing) * CHUNK_PAYMENTS
    return Filled(
        payments=filled,
        present=present,
        elapsed_s=round(elapsed_s, 1),
        per_s=round(filled / elapsed_s, 1) if filled else 0.0,
        database_gb=database_gb(owner_url),
    )


def prepare(owner_url: str, app_url: str) -> set[int]:
    """Create the merchants and the table of chunks. Returns the chunks present."""

    async def merchants() -> None:
        for merchant in MERCHANTS:
            await key_store.create_key(app_url, merchant)

    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute(PROGRESS_TABLE)
        done = {int(row[0]) for row in connection.execute("SELECT chunk FROM bench.filled_chunk")}
    if not done:
        asyncio.run(merchants())
    return done


def _fill_one(owner_url: str, chunk: int) -> None:
    asyncio.run(copy_chunk(owner_url, chunk, CHUNK_PAYMENTS))


async def copy_chunk(owner_url: str, chunk: int, payments: int) -> None:
    """One chunk, its balances and its note, in one transaction. All chunks of a database have the same size. Raises
    what the database raises."""
    rows = fill_chunk(kinds(), chunk * payments, payments, seed=chunk)
    connection = await asyncpg.connect(owner_url)
    try:
        # A chunk that a crash takes back is simply filled in again; no commit has to wait for the disk.
        await connection.execute("SET synchronous_commit = off")
        async with connection.transaction():
            for table in TABLES:
                source = io.BytesIO(rows.tables[table])
                await connection.copy_to_table(table, source=source, columns=columns(table), format="text")
            await connection.execute("INSERT INTO bench.filled_chunk VALUES ($1, $2)", chunk, payments)
            balances = [
                (*account, Decimal(debits), Decimal(credits))
                for account, (debits, credits) in sorted(rows.balances.items())
            ]
            await connection.execute(STATEMENTS["add_balances"], *zip(*balances, strict=True))
    finally:
        await connection.close()


def _tidy(owner_url: str, announce: Announce) -> None:
    """What autovacuum would do over the next hour: a benchmark must not run in its shadow."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for number, table in enumerate(TABLES):
            announce("vacuum", number, len(TABLES))
            connection.execute(f"VACUUM (ANALYZE) {table}")
        announce("vacuum", len(TABLES), len(TABLES))


def database_gb(owner_url: str) -> float:
    """The size of the database, in GB."""
    with psycopg.connect(owner_url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return round(int(row[0]) / 1e9, 2)
