"""How door and workers find their rows: by key, whatever a table held when the plan was made."""

from __future__ import annotations

import pytest

from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import connect
from tests.support.database import Database

OF_EVERY_DAY = {
    f"{file} {name}": statement
    for file in ("journal.sql", "inbox.sql", "outbound.sql", "reads.sql", "recovery.sql")
    for name, statement in sql.load(file).items()
}


#: What is due is asked of every endpoint: there are few of them.
FEW_ROWS = "Seq Scan on webhook_endpoint"


@pytest.mark.parametrize("name", OF_EVERY_DAY)
async def test_no_table_is_read_whole(database: Database, name: str) -> None:
    """The tables are empty: a plan made now, and kept, would otherwise read all of what they hold later."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    statement = OF_EVERY_DAY[name].rstrip().rstrip(";")
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        count = len((await connection.prepare(statement)).get_parameters())
        await connection.execute(f"PREPARE plan_of AS {statement}")
        nulls = f"({', '.join(['null'] * count)})" if count else ""
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of {nulls}"))
        assert "Seq Scan" not in plan.replace(FEW_ROWS, ""), plan
        assert "hashed SubPlan" not in plan, f"it reads a whole table through an index: {plan}"
    finally:
        await connection.close()


PAGES = [
    "reads.sql payments",
    "reads.sql payments_captured",
    "reads.sql payments_in_rare_state",
    "reads.sql payments_by_reference",
    "outbound.sql log",
    "inbox.sql dead",
]


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_is_read_in_the_order_of_an_index(database: Database, name: str) -> None:
    """Without a sort: the cost of a page does not grow with the list."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        count = len((await connection.prepare(OF_EVERY_DAY[name])).get_parameters())
        await connection.execute(f"PREPARE plan_of AS {OF_EVERY_DAY[name]}")
        nulls = f"({', '.join(['null'] * count)})"
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE plan_of {nulls}"))
        assert "Index Scan" in plan and "Sort" not in plan, plan
    finally:
        await connection.close()
