"""A payment takes as many statements, round trips and rows, and as much of the database's log, whatever is written of
it; a trace that spans give it is kept, and that is all that they add."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import pytest

from tallystick.lab.bench.before_after.wire import CountedWire
from tests.support.api import Inside, inside
from tests.support.database import Database
from tests.support.log_lines import lines_said
from tests.support.runtime import BookedProvider
from tests.support.spans import spans_kept

#: A process looks at its clock and at pauses by itself meanwhile: of so many payments one at least meets no such look.
PAYMENTS = 20

#: So many are tried before it is said that they cost more.
MOST = 300


async def cost(api: Inside, wire: CountedWire) -> tuple[int, int]:
    """Statements and round trips of one payment, and of what the process does meanwhile."""
    before = wire.counts()
    assert (await api.pay()).status_code == 201
    now = wire.counts()
    return now.statements - before.statements, now.round_trips - before.round_trips


async def test_with_everything_on_and_off(database: Database, fresh_merchant: str) -> None:
    with CountedWire(database.app_url) as wire:
        async with inside(database._replace(app_url=wire.url), fresh_merchant, BookedProvider()) as api:
            await cost(api, wire)  # statements are prepared
            with lines_said("error") as said:
                off = min([await cost(api, wire) for _ in range(PAYMENTS)])
            assert not said.lines and off[0] >= 10
            with lines_said("debug") as said, spans_kept() as spans:
                for _ in range(MOST):
                    if await cost(api, wire) <= off:
                        break
                else:
                    raise AssertionError(f"none of {MOST} payments took {off} alone")
            assert said.of("instruction") and said.of("provider called") and spans.of("change committed")


#: By chance: a balance has a digit more, or a page is split.
CHANCE_BYTES = 48

#: A request without a trace gets its span's, 55 characters in each of four rows; rows begin at multiples of 8 bytes. By
#: chance it may be less, too: of three rows it would be less still.
KEPT_TRACE_BYTES = (4 * 55 - CHANCE_BYTES, 4 * 55 + 4 * 8 + CHANCE_BYTES)


async def rows_of(connection: asyncpg.Connection, payment_id: str, merchant_id: str) -> dict[str, int]:
    """Table -> the merchant's rows that name the payment."""
    tables = await connection.fetch(
        "SELECT table_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = current_schema AND column_name = 'merchant_id'"
        " AND table_type = 'BASE TABLE'"
    )
    return {
        table: found
        for (table,) in tables
        if (
            found := await connection.fetchval(
                f"SELECT count(*) FROM {table} t WHERE t.merchant_id = $1 AND t::text LIKE '%' || $2 || '%'",
                merchant_id,
                payment_id,
            )
        )
    }


async def log_bytes(api: Inside, connection: asyncpg.Connection) -> tuple[int, str]:
    """Bytes that the server's log grew by over one payment, and the payment. What others do meanwhile is in it."""
    before = await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    answer = await api.pay()
    assert answer.status_code == 201
    now = await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
    return int(now - before), str(answer.json()["id"])


async def fewest(api: Inside, connection: asyncpg.Connection, enough: Callable[[int], bool]) -> tuple[int, str]:
    """The payment that took the fewest of some, or of more until these are few enough."""
    found = [await log_bytes(api, connection) for _ in range(PAYMENTS)]
    while not enough(min(found)[0]) and len(found) < MOST:
        found.append(await log_bytes(api, connection))
    return min(found)


@pytest.mark.parametrize("what", ["lines", "lines and spans"])
async def test_rows_and_the_databases_log_with_everything_on_and_off(
    database: Database, fresh_merchant: str, what: str
) -> None:
    connection = await asyncpg.connect(database.owner_url)
    try:
        async with inside(database, fresh_merchant, BookedProvider()) as api:
            with lines_said("error"):
                off, plain = await fewest(api, connection, lambda _: True)
            if what == "lines":
                least, most = off - CHANCE_BYTES, off + CHANCE_BYTES
                with lines_said("debug") as said:
                    on, told = await fewest(api, connection, lambda found: found <= most)
            else:
                least, most = (off + more for more in KEPT_TRACE_BYTES)
                with lines_said("debug") as said, spans_kept():
                    on, told = await fewest(api, connection, lambda found: found <= most)
            assert said.of("instruction") and least <= on <= most, (off, on)
            rows = [await rows_of(connection, payment_id, fresh_merchant) for payment_id in (plain, told)]
            assert rows[0] == rows[1] and sum(rows[0].values()) >= 8, rows
    finally:
        await connection.close()
