"""A filled database is as large as one that the journal wrote: what is measured on it is what users will see."""

from __future__ import annotations

import asyncio
import random

import asyncpg
import pytest

from tallystick.domain.change import Change
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.lab.bench.commits import open_journal
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.fill_rows import FIRST_ORDER, KINDS, TABLES, amount_by, merchant_by
from tallystick.lab.bench.workload import (
    approval,
    create_change,
    decline,
    new_instruction,
    payment_body,
    random_key,
    settled_change,
)
from tallystick.settings.load import Settings
from tests.support.database import Database, NewDatabase

PAYMENTS = 4_000

#: Autovacuum comes after so many changed rows (5 % of a table); what is dead by then makes room for the next ones.
BETWEEN_VACUUMS = 200


async def _bytes_a_payment(database: Database) -> dict[str, float]:
    connection = await asyncpg.connect(database.owner_url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("DROP INDEX outbox_by_time")  # of dispatched messages, which only the filled ones are
        return {
            table: await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", table) / PAYMENTS
            for table in (*TABLES, "balance")
        }
    finally:
        await connection.close()


def _payment(number: int, rng: random.Random) -> tuple[Change, Change]:
    """Both commits of a payment like those that are filled in."""
    [(currency, approved, _)] = rng.choices(KINDS, [weight for _, _, weight in KINDS])
    amount, merchant = amount_by(rng), merchant_by(rng)
    body = payment_body(amount, currency, str(FIRST_ORDER + number), approved=approved)
    create = create_change(new_instruction(random_key(rng), body=body, merchant_id=merchant), new_id("pay"), body)
    reference = f"bnc_{create.change_id.removeprefix('chg_')}"
    verdict = approval(reference, amount, currency, utc_now()) if approved else decline(reference, utc_now())
    return create, settled_change(create, verdict)


async def _through_the_journal(database: Database) -> None:
    rng = random.Random(1)
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with open_journal(Settings(journal_connections=1), database.app_url) as journal:
            for start in range(0, PAYMENTS, BETWEEN_VACUUMS):
                made = [_payment(number, rng) for number in range(start, start + BETWEEN_VACUUMS)]
                for commit in (0, 1):
                    await asyncio.gather(*(journal.commit(each[commit]) for each in made))
                await owner.execute("VACUUM payment, attempt, balance")
    finally:
        await owner.close()


async def test_a_filled_payment_takes_as_many_bytes_as_one_through_the_journal(new_database: NewDatabase) -> None:
    written, filled = new_database(), new_database()
    await _through_the_journal(written)
    await asyncio.to_thread(prepare, filled.owner_url, filled.app_url)
    await copy_chunk(filled.owner_url, 0, PAYMENTS)
    by_journal, by_fill = await _bytes_a_payment(written), await _bytes_a_payment(filled)
    assert sum(by_fill.values()) == pytest.approx(sum(by_journal.values()), rel=0.03), (by_fill, by_journal)
    for table in TABLES:  # a few pages more or fewer count for more in one table
        assert by_fill[table] == pytest.approx(by_journal[table], rel=0.07), table
